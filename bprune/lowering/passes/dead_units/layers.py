"""Which units of a layer are constant, given those before it."""

from __future__ import annotations

import numpy as np

from bprune.arrays import AnyArray, BoolArray, Float64Array
from bprune.lowering.ops import Conv, Dense, DepthwiseConv
from bprune.lowering.passes.dead_units.entries import Entries, fixed_values, is_random
from bprune.lowering.passes.dead_units.known import Known
from bprune.lowering.passes.evaluate import convolve, windows
from bprune.lowering.shapes import Shape
from bprune.lowering.weights import Weights

__all__ = ["apply_kernel", "known_of_depthwise", "known_of_layer", "with_constant"]


def known_of_layer(op: Dense | Conv, before: Known, shape: Shape, entries: Entries) -> Known:
    """The constant units of a layer.

    A unit is constant if all its live weights are fixed and come from constant units, and its bias is fixed. A weight
    from a unit that is 0 everywhere does not count.

    Args:
        op: The layer.
        before: The constant units of what it reads.
        shape: The shape of what it gives.
        entries: What is known of its kernel.
    """
    x = with_constant(op, before)
    rows = x.nonzero
    units = ~(entries.live[~x.units].any(axis=0) | entries.random[rows].any(axis=0)) & ~_random_bias(op.bias, shape)
    rows &= entries.live[:, units].any(axis=1)
    values = np.zeros((*shape.spatial, np.count_nonzero(units)))
    if values.size and rows.any():
        kernel = fixed_values(op.kernel.take((..., np.flatnonzero(rows)[:, None], np.flatnonzero(units))))
        values = apply_kernel(op, x.at(rows), kernel)
    return Known(units, values if op.bias is None else values + fixed_values(op.bias)[units])


def with_constant(op: Dense | Conv, before: Known) -> Known:
    """What a layer's kernel reads: the input, and the constant units behind it."""
    if op.constant is None:
        return before
    units = np.concatenate([before.units, np.ones(op.constant.shape[-1], np.bool_)])
    return Known(units, np.concatenate([before.values, op.constant.astype(np.float64)], axis=-1))


def apply_kernel(op: Dense | Conv, x: AnyArray, kernel: AnyArray) -> Float64Array:
    """A layer without its bias, for one example and other numbers in its kernel.

    Args:
        op: The layer, for strides, pads and dilations.
        x: `[*spatial, in]`.
        kernel: `[*window, in, out]`.

    Returns:
        `[*position, out]`, float64.
    """
    if isinstance(op, Conv):
        return convolve(x, kernel, op.strides, op.pads, op.dilations)
    return np.asarray(x @ kernel, np.float64)


def known_of_depthwise(op: DepthwiseConv, before: Known, shape: Shape, entries: Entries) -> Known:
    """The constant units of a depthwise convolution; see `known_of_layer`."""
    certain = ~entries.live | (before.units[:, None] & ~(entries.random & before.nonzero[:, None]))
    units = certain.reshape(-1) & ~_random_bias(op.bias, shape)
    seen = windows(before.at(np.ones_like(before.units)), op.kernel.shape[:2], op.strides, op.pads, op.dilations)
    kernel = np.where(certain, fixed_values(op.kernel), 0.0)
    values = np.einsum("hwcij,ijcm->hwcm", seen, kernel).reshape(shape)[..., units]
    return Known(units, values if op.bias is None else values + fixed_values(op.bias)[units])


def _random_bias(bias: Weights | None, shape: Shape) -> BoolArray:
    return np.zeros(shape.units, np.bool_) if bias is None else is_random(bias)
