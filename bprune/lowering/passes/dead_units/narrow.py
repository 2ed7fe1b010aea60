"""An operation without a kernel, for some of the units."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from bprune.arrays import AnyArray, BoolArray
from bprune.lowering.ops import Affine, Bias, Op, Reshape, Select

__all__ = ["narrowed"]


def narrowed(op: Op, read: BoolArray, made: BoolArray) -> Op:
    """The same operation where a part of the units is there.

    Args:
        op: Any operation without a kernel.
        read: The units of its (first) input that are there, `[unit]`.
        made: The units of its result that are wanted, `[unit]`; they can be made from those.

    Returns:
        The same object if all units are there, or the operation does not know of units.
    """
    if read.all() and made.all():
        return op
    if isinstance(op, Affine):
        return replace(op, gain=_part(op.gain, read), shift=_part(op.shift, read))
    if isinstance(op, Bias):
        return replace(op, bias=op.bias.take(read))
    if isinstance(op, Reshape):
        return replace(op, shape=(*op.shape[:-1], int(np.count_nonzero(made))))
    if isinstance(op, Select):
        places = np.cumsum(read) - 1
        return replace(op, units=places[op.units[made]].astype(np.int32))
    return op


def _part(values: AnyArray | None, units: BoolArray) -> AnyArray | None:
    return values if values is None or not values.ndim or values.shape[-1] == 1 else values[..., units]
