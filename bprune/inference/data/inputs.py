"""Fit inputs to a network: shape, scale, dtype. What is not certain is an error that says which option settles it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from bprune.arrays import AnyArray
from bprune.errors import InputError, UnsupportedError, UsageError
from bprune.inference.data.dataset import Dataset
from bprune.inference.data.shapes import fit_shape

__all__ = ["first_not_finite", "fit_inputs"]

_BLOCK_VALUES = 2**22


def fit_inputs(data: Dataset, *, shape: tuple[int | None, ...], dtype: str, scale: float | None = None) -> Dataset:
    """Give inputs the shape and dtype that a network takes; inputs become x / scale.

    Args:
        data: As `read_data` returns it.
        shape: The network's input, example axis first; None is any length. The example axis is not compared.
        dtype: The network's input dtype, for example "float32", or "int32" for token numbers.
        scale: What inputs are divided by, finite and positive; None leaves float inputs as they are, and is an error
            for integers, because the training script alone knows whether they were rescaled.

    Returns:
        Inputs `[example, ...]` of the network's shape and dtype, all finite, with a note per change; the same memory
        where nothing changes. Labels as they were.

    Raises:
        InputError: If there are no examples, the shapes do not fit, a value is not finite or does not fit the dtype,
            or integers come without a scale.
        UsageError: If `scale` is not finite and positive, or given for a network with integer inputs.
        UnsupportedError: If the network's dtype is neither a float nor an integer.
    """
    _check_scale(scale)
    target = _network_dtype(dtype)
    if not data.inputs.size:
        raise InputError(f"{data.source}: inputs of shape {list(data.inputs.shape)} hold no examples")
    shaped = fit_shape(data, shape)
    _refuse_not_finite(shaped)
    if target.kind in "iu":
        return _fit_integers(shaped, target, scale)
    return _fit_floats(shaped, target, scale)


def first_not_finite(array: AnyArray) -> tuple[int, ...] | None:
    """Index of the first NaN or infinity `[example, ...]`, or None; reads the array block by block."""
    if array.dtype.kind != "f":
        return None
    for start, block in _blocks(array):
        wrong = ~np.isfinite(block)
        if wrong.any():
            first = np.unravel_index(int(np.argmax(wrong)), block.shape)
            return (start + int(first[0]), *(int(index) for index in first[1:]))
    return None


def _blocks(array: AnyArray) -> Iterator[tuple[int, AnyArray]]:
    step = max(1, _BLOCK_VALUES * len(array) // max(1, array.size))
    for start in range(0, len(array), step):
        yield start, array[start : start + step]


def _check_scale(scale: float | None) -> None:
    if scale is not None and not (math.isfinite(scale) and scale > 0):
        raise UsageError(f"--scale is {scale}; allowed is a finite number above 0", hint="Inputs become x / scale.")


def _network_dtype(dtype: str) -> np.dtype[Any]:
    try:
        target = np.dtype(dtype)
    except TypeError:
        target = np.dtype("V")
    if target.kind not in "fiu":
        raise UnsupportedError(f"the network's input dtype is {dtype}; allowed are floats and integers that NumPy has")
    return target.newbyteorder("=")


def _refuse_not_finite(data: Dataset) -> None:
    where = first_not_finite(data.inputs)
    if where is not None:
        raise InputError(
            f"{data.source}: the input at index {list(where)} is {data.inputs[where]}; all have to be finite",
            hint="Remove or replace such examples as the training script did.",
        )


def _fit_integers(data: Dataset, target: np.dtype[Any], scale: float | None) -> Dataset:
    inputs = data.inputs
    if scale is not None:
        raise UsageError(f"--scale {scale:.12g} does not apply: the network takes {target} inputs")
    if inputs.dtype.kind == "f":
        raise InputError(
            f"{data.source}: inputs are {inputs.dtype}, the network takes {target}",
            hint=f"Save them as integers, x.astype('{target}'), if they are whole numbers.",
        )
    if inputs.dtype.kind in "iu":
        low, high, allowed = int(inputs.min()), int(inputs.max()), np.iinfo(target)
        if low < allowed.min or high > allowed.max:
            raise InputError(f"{data.source}: inputs from {low} to {high} do not fit the network's {target}")
    return replace(data, inputs=inputs.astype(target, copy=False))


def _fit_floats(data: Dataset, target: np.dtype[Any], scale: float | None) -> Dataset:
    inputs = data.inputs
    divided = None if scale is None else f"inputs divided by {scale:.12g}"
    if inputs.dtype.kind in "iu":
        span = f"{inputs.dtype}, {inputs.min()} to {inputs.max()}"
        if scale is None:
            raise InputError(
                f"{data.source}: inputs are integers ({span}) and the network takes {target}; "
                "whether they were rescaled in training is not in the file",
                hint="Pass --scale 255 if the network was trained on x / 255, --scale 1 if on raw values, "
                "or give a float array.",
            )
        divided = f"{divided} ({span})"
    result = _divide(inputs, target, scale)
    if result is not inputs:
        where = first_not_finite(result)
        if where is not None:
            raise InputError(
                f"{data.source}: the input {inputs[where]} at index {list(where)}"
                + (f", divided by {scale:.12g}," if scale is not None else "")
                + f" does not fit the network's {target}"
            )
    fitted = replace(data, inputs=result)
    return fitted.noting(divided) if divided else fitted


def _divide(inputs: AnyArray, target: np.dtype[Any], scale: float | None) -> AnyArray:
    """Divide in the network's dtype, or in float32 if that is smaller; the same array if nothing changes."""
    with np.errstate(all="ignore"):  # what overflows is looked for afterwards, with its index
        if scale is None or scale == 1:
            return inputs.astype(target, copy=False)
        work = np.result_type(target, np.float32)
        divisor = work.type(scale)
        if not (np.isfinite(divisor) and divisor > 0):
            raise UsageError(f"--scale {scale:.12g} is not a number that {work} can hold")
        result: AnyArray = inputs.astype(work)
        result /= divisor
        return result.astype(target, copy=False)
