"""Reshape inputs to a network's input where no value can end up in a wrong place; refuse all else."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from bprune.errors import InputError, UnsupportedError
from bprune.inference.data.dataset import Dataset

__all__ = ["fit_shape"]

_MOST_CHANNELS = 4


def fit_shape(data: Dataset, shape: tuple[int | None, ...]) -> Dataset:
    """Reshape inputs that differ from the network's input by flattening or by a channel axis of length 1.

    `[example, 28, 28]`, `[example, 28, 28, 1]`, `[example, 1, 28, 28]` and `[example, 784]` become each other. Colours
    are never moved: data that may be channel-first, or flat colour images, are an error.

    Args:
        data: Any data set.
        shape: The network's input, example axis first; None is any length. The example axis is not compared.

    Returns:
        The data, with a note if they were reshaped; a view of the same values.

    Raises:
        InputError: If the shapes differ in another way.
        UnsupportedError: If the network's input has no example axis.
    """
    if not shape:
        raise UnsupportedError("the network's input has no axes; the first one has to be the example")
    have, want = data.inputs.shape[1:], shape[1:]
    if _compatible(have, want):
        return data
    target = _without_moving(have, want)
    if target is None:
        raise InputError(
            f"{data.source}: inputs {_show(data.inputs.shape)} do not fit the network's input {_show((None, *want))}",
            hint=_hint(data.inputs.shape, want),
        )
    inputs = data.inputs.reshape(len(data), *target)
    note = f"inputs reshaped from {_show(data.inputs.shape)} to {_show(inputs.shape)}"
    return replace(data, inputs=inputs).noting(note)


def _compatible(have: Sequence[int], want: Sequence[int | None]) -> bool:
    return len(have) == len(want) and all(theirs in (None, ours) for ours, theirs in zip(have, want, strict=True))


def _without_moving(have: tuple[int, ...], want: tuple[int | None, ...]) -> tuple[int, ...] | None:
    """The lengths to reshape one example to, or None if there is no safe way."""
    for core in _without_channel(have):
        for target, added in (((*core, 1), want[-1:]), ((1, *core), want[:1]), (core, (1,))):
            if added == (1,) and _compatible(target, want):
                return target
    fixed = tuple(length for length in want if length is not None)
    if len(fixed) < len(want) or math.prod(fixed) != math.prod(have):
        return None
    flattening = len(fixed) == 1 and len(have) <= 3 and not _looks_channel_first(have)
    unflattening = any(len(core) == 1 for core in _without_channel(have)) and any(
        len(core) <= 2 for core in _without_channel(fixed)
    )
    return fixed if flattening or unflattening else None


def _without_channel(lengths: tuple[int, ...]) -> list[tuple[int, ...]]:
    """The lengths, and the lengths without a last or first axis of length 1."""
    cores = [lengths]
    if len(lengths) > 1:
        cores += [lengths[:-1]] * (lengths[-1] == 1) + [lengths[1:]] * (lengths[0] == 1)
    return cores


def _looks_channel_first(have: tuple[int, ...]) -> bool:
    return len(have) == 3 and 1 < have[0] <= _MOST_CHANNELS < have[-1]


def _hint(shape: tuple[int, ...], want: tuple[int | None, ...]) -> str:
    have = shape[1:]
    if None not in want and _compatible(shape, want):
        return "This looks like a single example: save x[np.newaxis] if so."
    if len(have) == 3 and _compatible((*have[1:], have[0]), want):
        return "The channels seem to come first: save np.moveaxis(x, 1, -1) if so."
    if len(have) == 3 and _compatible((have[-1], *have[:-1]), want):
        return "The channels seem to come last: save np.moveaxis(x, -1, 1) if so."
    known = [length for length in want if length is not None]
    if len(known) == len(want) and math.prod(have) == math.prod(known):
        return "The number of values agrees, but not their order for sure: save the inputs reshaped as in training."
    return "Save the inputs in the shape that the network was trained on."


def _show(lengths: Sequence[int | None]) -> str:
    return "[" + ", ".join("any" if length is None else str(length) for length in lengths) + "]"
