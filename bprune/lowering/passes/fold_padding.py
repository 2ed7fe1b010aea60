"""Zeros around a picture become the pads of the convolution that reads it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from bprune.lowering.ops import Conv, DepthwiseConv, Op, Pad
from bprune.lowering.passes.remove_unused import remove_unused
from bprune.lowering.program import Program

__all__ = ["fold_padding"]


def fold_padding(program: Program) -> Program:
    """Fold zero padding of spatial axes into the convolutions behind it.

    Padding that something else reads as well stays for that reader alone. A convolution with constant channels is left
    as it is: the zeros would have to surround those too.

    Args:
        program: A legal program.

    Returns:
        A program of the same tensors; an equal one has no padding before a convolution.
    """
    made = {op.name: op for op in program.ops}
    for op in program.ops:
        made[op.name] = _without_padding(op, made)
    return remove_unused(program.replaced(list(made.values())))


def _without_padding(op: Op, made: Mapping[str, Op]) -> Op:
    while isinstance(op, (Conv, DepthwiseConv)) and not (isinstance(op, Conv) and op.constant is not None):
        before = made.get(op.inputs[0])
        if not isinstance(before, Pad) or any(before.pads[-1]):
            break
        pairs = zip(op.pads, before.pads[:-1], strict=True)
        pads = tuple((inner[0] + outer[0], inner[1] + outer[1]) for inner, outer in pairs)
        op = replace(op, inputs=before.inputs, pads=pads)
    return op
