"""Gains and shifts, batch normalisation above all, become part of the weights before or behind them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeAlias

import numpy as np

from bprune.arrays import AnyArray, Float64Array
from bprune.lowering.ops import Affine, Bias, Conv, Dense, DepthwiseConv, Op, Reshape
from bprune.lowering.passes.scaling import per_unit, scaled, shifted, single
from bprune.lowering.program import Program
from bprune.lowering.shapes import Shape
from bprune.lowering.weights import Weights

__all__ = ["fold_affine"]

Linear: TypeAlias = Dense | Conv | DepthwiseConv


def fold_affine(program: Program) -> Program:
    """Fold affine maps and biases into their neighbours, exactly or not at all.

    - An affine map behind another: one map.
    - Behind a layer: gains into the kernel's columns and the bias, shifts into the bias. A LogNormal kernel or bias
      takes no gain, a sampled bias no shift (see `scaling.shifted`); what is not taken stays.
    - Before a layer: gains into the kernel's rows; shifts into the bias, where the kernel and the bias are fixed and no
      zeros are added around the picture; both or none. Also through a `Reshape` before a `Dense`.
    - A sampled bias behind a layer without one: the layer's bias.

    Neighbours are folded where nothing else reads the tensor between them, and gains and shifts where they differ by
    unit at most. The result may be masked later (`mask_weights`) as well as before.

    Args:
        program: A legal program.
    """
    made: dict[str, Op] = {}
    for op in program.ops:
        made[op.name] = op
        while _folds_into_neighbour(op.name, made, program):
            pass
    return program.replaced(list(made.values()))


def _folds_into_neighbour(name: str, made: dict[str, Op], program: Program) -> bool:
    """Fold an operation and the one before it, in place; False if nothing could be done."""
    op = made[name]
    before = made.get(op.inputs[0])
    if before is None or before.name in program.outputs or len(program.consumers[before.name]) > 1:
        return False
    found = _folded(before, op, program)
    if found is None:
        return False
    del made[before.name], made[name]
    made.update({item.name: item for item in found})
    return True


def _folded(before: Op, op: Op, program: Program) -> Sequence[Op] | None:
    """One or two operations in place of two; the last has the name of the second. None to leave them."""
    linear = before if isinstance(before, (Dense, Conv, DepthwiseConv)) else None
    if linear is not None and isinstance(op, Bias):
        return [replace(linear, name=op.name, bias=op.bias)] if linear.bias is None else None
    if linear is not None and isinstance(op, Affine):
        return _behind(linear, op, program.shapes[op.name])
    if isinstance(before, Affine) and isinstance(op, Affine):
        return _merged(before, op)
    if isinstance(before, Affine) and isinstance(op, (Dense, Conv, DepthwiseConv)):
        return _in_front(before, op, program.shapes[before.name])
    if isinstance(before, Affine) and isinstance(op, Reshape):
        return _swapped(before, op, program)
    return None


def _merged(first: Affine, second: Affine) -> Sequence[Op] | None:
    """g2 (g1 x + s1) + s2 = (g1 g2) x + (g2 s1 + s2)."""
    g1, s1, g2, s2 = (_double(item) for item in (first.gain, first.shift, second.gain, second.shift))
    gain = g2 if g1 is None else g1 if g2 is None else np.multiply(g1, g2)
    moved = s1 if s1 is None or g2 is None else np.multiply(s1, g2)
    shift = s2 if moved is None else moved if s2 is None else np.add(moved, s2)
    parts = [None if item is None else single(item) for item in (gain, shift)]
    if any(new is None and old is not None for new, old in zip(parts, (gain, shift), strict=True)):
        return None
    return [Affine(second.name, first.inputs, *parts)]


def _double(values: AnyArray | None) -> Float64Array | None:
    return None if values is None else values.astype(np.float64)


def _behind(op: Linear, affine: Affine, shape: Shape) -> Sequence[Op] | None:
    gain, shift = per_unit(affine.gain, shape, 1.0), per_unit(affine.shift, shape, 0.0)
    if gain is None or shift is None:
        return None
    kernel = scaled(op.kernel, gain.reshape(op.kernel.shape[2:]) if isinstance(op, DepthwiseConv) else gain)
    bias = None if op.bias is None else scaled(op.bias, gain)
    if kernel is None or (bias is None and op.bias is not None):
        return _shift_alone(op, affine, gain, shift)
    whole = shifted(bias, shift) if np.any(shift) else bias
    if whole is not None or not np.any(shift):
        return [replace(op, name=affine.name, kernel=kernel, bias=whole)]
    if np.all(gain == 1.0):
        return None
    return [replace(op, kernel=kernel, bias=bias), replace(affine, gain=None)]


def _shift_alone(op: Linear, affine: Affine, gain: Float64Array, shift: Float64Array) -> Sequence[Op] | None:
    """g y + s = g (y + s / g), where the weights take no gain."""
    if not np.any(shift) or np.any(gain == 0.0):
        return None
    bias = shifted(op.bias, shift / gain)
    return None if bias is None else [replace(op, bias=bias), replace(affine, shift=None)]


def _in_front(affine: Affine, op: Linear, shape: Shape) -> Sequence[Op] | None:
    gain, shift = per_unit(affine.gain, shape, 1.0), per_unit(affine.shift, shape, 0.0)
    if gain is None or shift is None or getattr(op, "constant", None) is not None:
        return None
    kernel = scaled(op.kernel, gain[:, None])
    if kernel is None:
        return None
    new = replace(op, inputs=affine.inputs, kernel=kernel)
    if not np.any(shift):
        return [new]
    if op.kernel.is_sampled or (not isinstance(op, Dense) and any(item for pair in op.pads for item in pair)):
        return None
    bias = shifted(op.bias, _through(op, op.kernel, shift))
    return None if bias is None else [replace(new, bias=bias)]


def _through(op: Linear, kernel: Weights, shift: Float64Array) -> Float64Array:
    """What a picture that is everywhere `shift`, `[in]`, gives without zeros around it: `[out]`."""
    total = kernel.loc.astype(np.float64).sum(axis=tuple(range(kernel.loc.ndim - 2)))
    contribution = (shift[:, None] * total).reshape(-1) if isinstance(op, DepthwiseConv) else shift @ total
    return np.asarray(contribution, np.float64)


def _swapped(affine: Affine, op: Reshape, program: Program) -> Sequence[Op] | None:
    """The reshape first, where a dense layer behind it then takes the map."""
    readers = program.consumers[op.name]
    if len(readers) != 1 or op.name in program.outputs or not isinstance(readers[0], Dense):
        return None
    shape = program.shapes[affine.name]
    gain, shift = (_reshaped(item, shape, op.shape) for item in (affine.gain, affine.shift))
    moved = Affine(op.name, (affine.name,), gain, shift)
    if _in_front(moved, readers[0], program.shapes[op.name]) is None:
        return None
    return [Reshape(affine.name, affine.inputs, op.shape), moved]


def _reshaped(values: AnyArray | None, shape: Shape, new: tuple[int, ...]) -> AnyArray | None:
    if values is None or values.size == 1:
        return None if values is None else values.reshape(())
    return np.broadcast_to(values, tuple(shape)).reshape(new)
