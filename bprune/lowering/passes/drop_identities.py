"""Operations without effect, and chains of rearrangements that are one rearrangement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from bprune.arrays import AnyArray
from bprune.lowering.ops import (
    Affine,
    Concat,
    Op,
    Pad,
    Pool,
    Reduce,
    Reshape,
    Select,
    Transpose,
)
from bprune.lowering.passes.remove_unused import remove_unused
from bprune.lowering.program import Program
from bprune.lowering.shapes import Shape, output_shape

__all__ = ["drop_identities"]


def drop_identities(program: Program) -> Program:
    """Drop what changes nothing, and join consecutive reshapes, transposes and selections.

    Args:
        program: A legal program; reductions over no axis are allowed here as well.

    Returns:
        A program of the same tensors; one that is dropped is read, and given out, as the tensor before it.
    """
    made: dict[str, Op] = {}
    renamed: dict[str, str] = {}
    shapes = {program.input: program.input_shape}
    for op in program.ops:
        read = replace(op, inputs=tuple(renamed.get(name, name) for name in op.inputs))
        new = _joined(_simplified(_joined(read, made), shapes), made)
        if _is_identity(new, [shapes[name] for name in new.inputs]):
            renamed[op.name] = new.inputs[0]
            continue
        made[op.name] = new
        shapes[op.name] = output_shape(new, [shapes[name] for name in new.inputs])
    return remove_unused(program.replaced(list(made.values()), renamed))


def _joined(op: Op, made: Mapping[str, Op]) -> Op:
    """The same result in one step, where the step before is of the same kind."""
    before = made.get(op.inputs[0])
    if isinstance(op, Reshape) and isinstance(before, Reshape):
        return replace(op, inputs=before.inputs)
    if isinstance(op, Transpose) and isinstance(before, Transpose):
        return replace(op, inputs=before.inputs, permutation=tuple(before.permutation[i] for i in op.permutation))
    if isinstance(op, Select) and isinstance(before, Select):
        return replace(op, inputs=before.inputs, units=before.units[op.units])
    return op


def _simplified(op: Op, shapes: Mapping[str, Shape]) -> Op:
    """A plainer operation with the same result."""
    if isinstance(op, Affine):
        gain = None if _is_all(op.gain, 1.0) else op.gain
        return replace(op, gain=gain, shift=None if _is_all(op.shift, 0.0) else op.shift)
    shape = shapes[op.inputs[0]]
    if isinstance(op, Reduce) and op.axes and not op.keep_axes and all(shape[axis] == 1 for axis in op.axes):
        return Reshape(op.name, op.inputs, tuple(size for i, size in enumerate(shape) if i not in op.axes))
    if isinstance(op, Transpose) and [i for i in op.permutation if shape[i] != 1] == [
        i for i, size in enumerate(shape) if size != 1
    ]:
        return Reshape(op.name, op.inputs, tuple(shape[i] for i in op.permutation))
    return op


def _is_identity(op: Op, shapes: Sequence[Shape]) -> bool:
    shape = shapes[0]
    if isinstance(op, Affine):
        return op.gain is None and op.shift is None
    if isinstance(op, Reshape):
        return op.shape == tuple(shape)
    if isinstance(op, Pad):
        return not any(item for pair in op.pads for item in pair)
    if isinstance(op, Pool):
        unpadded = not any(item for pair in op.pads for item in pair)
        return unpadded and {*op.window, *op.strides} == {1}
    if isinstance(op, Select):
        return np.array_equal(op.units, np.arange(shape.units))
    if isinstance(op, Reduce):
        return not op.axes or (op.keep_axes and all(shape[axis] == 1 for axis in op.axes))
    return isinstance(op, Concat) and len(op.inputs) == 1


def _is_all(values: AnyArray | None, number: float) -> bool:
    return values is not None and bool(np.all(values == number))
