"""Compositions of elementwise operations that are one known activation: GELU in its two forms, and SWISH."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from bprune.arrays import AnyArray, Float64Array
from bprune.lowering.ops import Activation, Add, Affine, Function, Multiply, Op
from bprune.lowering.passes.evaluate import evaluate
from bprune.lowering.passes.remove_unused import remove_unused
from bprune.lowering.program import Program

__all__ = ["fuse_activations"]

_FUNCTIONS = (Function.GELU, Function.GELU_TANH, Function.SWISH)
_GRID: Float64Array = np.linspace(-8.0, 8.0, 161)
_VALUES = {function: evaluate(Activation("", ("",), function), [_GRID]) for function in _FUNCTIONS}
_TOLERANCE = 1e-5
"""Largest difference on the grid: constants may be rounded to seven digits, but the two forms of GELU, which differ by
5e-4, are never taken for each other, and the network stays the one that was trained (law 4)."""
_DEPTH = 16
"""GELU by tanh is the longest: ten operations."""


def fuse_activations(program: Program) -> Program:
    """Recognise GELU, GELU by tanh, and SWISH where they are written out.

    A framework writes them in many ways (x halved first or last, erf or erfc, a cube as a product or as x times a
    square), so the pass compares what they compute and not how: an operation that depends on one tensor alone, through
    elementwise operations, is evaluated on a grid of numbers and compared with each known function.

    Args:
        program: A legal program.

    Returns:
        A program of the same tensors, without the steps between that nothing else reads.
    """
    made = dict(program.by_name)
    for op in program.ops:
        if isinstance(op, Multiply) or (isinstance(op, Affine) and _is_scalar(op)):
            made[op.name] = _fused(op, made)
    return remove_unused(program.replaced(list(made.values())))


def _fused(op: Op, made: Mapping[str, Op]) -> Op:
    cone = _cone(op, made)
    for source in dict.fromkeys(name for item in cone for name in item.inputs):
        values = _as_function(op, source, cone)
        if values is None:
            continue
        for function in _FUNCTIONS:
            if np.max(np.abs(values - _VALUES[function])) < _TOLERANCE:
                return Activation(op.name, (source,), function)
    return op


def _cone(op: Op, made: Mapping[str, Op]) -> list[Op]:
    """The elementwise operations that lead to one, each before what it reads, to a bounded depth."""
    levels: dict[str, int] = {op.name: 0}
    waiting = [op]
    while waiting:
        current = waiting.pop()
        for name in current.inputs:
            before, level = made.get(name), levels[current.name] + 1
            if before is not None and _is_pointwise(before) and level < _DEPTH and levels.get(name, -1) < level:
                levels[name] = level
                waiting.append(before)
    return [made[name] for name in sorted(levels, key=levels.__getitem__)]


def _as_function(op: Op, source: str, cone: list[Op]) -> Float64Array | None:
    """The values of an operation on the grid as a function of one tensor; None if it reads others as well."""
    values: dict[str, Float64Array] = {source: _GRID}
    for item in reversed(cone):
        if item.name != source and all(name in values for name in item.inputs):
            values[item.name] = evaluate(_of_scalars(item), [values[name] for name in item.inputs])
    found = values.get(op.name)
    return found if found is not None and np.isfinite(found).all() else None


def _is_pointwise(op: Op) -> bool:
    """Whether every element of the result is the same function of the elements at its place."""
    if isinstance(op, Activation):
        return op.function.is_elementwise
    return isinstance(op, (Add, Multiply)) or (isinstance(op, Affine) and _is_scalar(op))


def _is_scalar(op: Affine) -> bool:
    return all(item is None or (item.size > 0 and np.ptp(item) == 0.0) for item in (op.gain, op.shift))


def _of_scalars(op: Op) -> Op:
    def scalar(item: AnyArray | None) -> AnyArray | None:
        return None if item is None else np.asarray(item.flat[0])

    return replace(op, gain=scalar(op.gain), shift=scalar(op.shift)) if isinstance(op, Affine) else op
