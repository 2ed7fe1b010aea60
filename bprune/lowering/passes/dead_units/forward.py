"""Forward: the units that depend on no example and no draw, and what they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from bprune.arrays import AnyArray, BoolArray, Float64Array
from bprune.lowering.ops import (
    Activation,
    Add,
    Affine,
    Bias,
    Concat,
    Conv,
    Dense,
    DepthwiseConv,
    Multiply,
    Op,
    Pad,
    Pool,
    Reduce,
    Reshape,
    Select,
    Transpose,
)
from bprune.lowering.passes.dead_units.entries import Entries, fixed_values, is_random
from bprune.lowering.passes.dead_units.known import Known
from bprune.lowering.passes.dead_units.layers import known_of_depthwise, known_of_layer
from bprune.lowering.passes.dead_units.narrow import narrowed
from bprune.lowering.passes.evaluate import evaluate
from bprune.lowering.program import Program
from bprune.lowering.shapes import Shape

__all__ = ["keeps_units_apart", "known_units"]


def known_units(program: Program, entries: Mapping[str, Entries]) -> dict[str, Known]:
    """The constant units of every tensor, by name.

    Args:
        program: A legal program.
        entries: What is known of its kernels.
    """
    known = {program.input: Known.nothing(program.input_shape)}
    for op in program.ops:
        shape = program.shapes[op.name]
        found = _known(op, [known[name] for name in op.inputs], shape, entries) if shape else None
        known[op.name] = Known.nothing(shape) if found is None else found.finite()
    return known


def keeps_units_apart(op: Op, axes: int) -> bool:
    """Whether unit u of the result depends on unit u of the only input alone, and there are as many.

    Args:
        op: The operation.
        axes: The number of axes of the input.
    """
    return axes > 0 and (
        isinstance(op, (Affine, Bias, Pool))
        or (isinstance(op, Activation) and op.function.is_elementwise)
        or (isinstance(op, Reduce) and axes - 1 not in op.axes)
        or (isinstance(op, Transpose) and op.permutation[-1] == axes - 1)
    )


def _known(op: Op, inputs: Sequence[Known], shape: Shape, entries: Mapping[str, Entries]) -> Known | None:
    x = inputs[0]
    if isinstance(op, (Dense, Conv)):
        return known_of_layer(op, x, shape, entries[op.name])
    if isinstance(op, DepthwiseConv):
        return known_of_depthwise(op, x, shape, entries[op.name])
    if isinstance(op, Bias):
        units = x.units & ~is_random(op.bias)
        return Known(units, x.at(units) + fixed_values(op.bias)[units])
    if all(item.units.all() for item in inputs):
        return Known(np.ones(shape.units, np.bool_), evaluate(op, [item.values for item in inputs]))
    if isinstance(op, (Add, Multiply)):
        return _of_two(op, inputs[0], inputs[1])
    if isinstance(op, Concat):
        return _of_parts(op, inputs, shape)
    return _of_one(op, x, shape)


def _of_one(op: Op, x: Known, shape: Shape) -> Known | None:
    read = units = x.units
    if isinstance(op, Affine):
        read = units = x.units if op.gain is None else x.units | _is_zero(op.gain, shape)
    elif isinstance(op, Pad):
        before, after = op.pads[-1]
        units = np.pad(x.units, (before, after), constant_values=True)
    elif isinstance(op, Select):
        units = x.units[op.units]
    elif isinstance(op, Reshape) and shape.units % x.units.size == 0:
        units = np.tile(x.units, shape.units // x.units.size)
    elif isinstance(op, Reshape) and x.units.size % shape.units == 0:
        units = np.asarray(x.units.reshape(-1, shape.units).all(axis=0))
        read = np.tile(units, x.units.size // shape.units)
    elif not keeps_units_apart(op, x.values.ndim):
        return None
    return Known(units, evaluate(narrowed(op, read, units), [x.at(read)])) if units.any() else None


def _is_zero(gain: AnyArray, shape: Shape) -> BoolArray:
    """The units whose gain is 0 at every position."""
    units = np.broadcast_to(gain, (*gain.shape[:-1], shape.units))
    return np.asarray((units == 0.0).all(axis=tuple(range(units.ndim - 1))))


def _of_two(op: Add | Multiply, first: Known, second: Known) -> Known | None:
    units = first.units & second.units
    if isinstance(op, Multiply):  # 0 times anything
        units = units | (first.units & ~first.nonzero) | (second.units & ~second.nonzero)
    return Known(units, evaluate(op, [_spread(first, units), _spread(second, units)])) if units.any() else None


def _spread(item: Known, units: BoolArray) -> Float64Array:
    """The values of some units; of a single one, which is broadcast to all, its own."""
    return item.at(units if item.units.size == units.size else np.ones(1, np.bool_))


def _of_parts(op: Concat, inputs: Sequence[Known], shape: Shape) -> Known:
    if op.axis == len(shape) - 1:
        units = np.concatenate([item.units for item in inputs])
        return Known(units, np.concatenate([item.values for item in inputs], axis=-1))
    units = np.logical_and.reduce([item.units for item in inputs])
    return Known(units, np.concatenate([item.at(units) for item in inputs], axis=op.axis))
