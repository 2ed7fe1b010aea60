"""Convolutions and pooling over one to three spatial axes, with explicit pads, from what TensorFlow's kernels can."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from bprune.arrays import AnyArray
from bprune.lowering.ops import Pads, Pool, Pooling

__all__ = ["convolve", "convolve_depthwise", "pool"]


def convolve(x: Any, kernel: Any, strides: Sequence[int], pads: Pads, dilations: Sequence[int]) -> Any:
    """A convolution (cross-correlation) with zeros around.

    Args:
        x: `[example, *spatial, in]`.
        kernel: `[*window, in, out]`, of the same type.
        strides: Per spatial axis.
        pads: Per spatial axis.
        dilations: Per spatial axis.

    Returns:
        `[example, *position, out]`.
    """
    import tensorflow as tf

    axes = len(strides)
    if int(kernel.shape[-2]) == 0:
        return _zeros(x, kernel, strides, pads, dilations)
    if axes == 1:
        flat = convolve(x[:, None], kernel[None], (1, *strides), ((0, 0), *pads), (1, *dilations))
        return tf.squeeze(flat, 1)
    if axes == 2:
        padding: Any = [(0, 0), *pads, (0, 0)] if any(map(any, pads)) else "VALID"
        if padding != "VALID" and _is_same(x.shape[1:-1], kernel.shape[:2], strides, pads, dilations):
            padding = "SAME"
        return tf.nn.conv2d(x, kernel, list(strides), padding, dilations=list(dilations))
    kernel = _dilated(kernel, dilations)
    padded = tf.pad(x, [(0, 0), *pads, (0, 0)]) if any(map(any, pads)) else x
    return tf.nn.conv3d(padded, kernel, [1, *strides, 1], "VALID")


def convolve_depthwise(x: Any, kernel: Any, strides: Sequence[int], pads: Pads, dilations: Sequence[int]) -> Any:
    """A 2D convolution of every channel by itself, with zeros around.

    TensorFlow's kernel knows equal strides alone, and dilations where all strides are 1.

    Args:
        x: `[example, height, width, in]`.
        kernel: `[height, width, in, multiplier]`, of the same type.
        strides: Per spatial axis.
        pads: Per spatial axis.
        dilations: Per spatial axis.

    Returns:
        `[example, *position, in * multiplier]`.
    """
    import tensorflow as tf

    if any(map(any, pads)):
        x = tf.pad(x, [(0, 0), *pads, (0, 0)])
    if max(strides) > 1:
        kernel, dilations = _dilated(kernel, dilations), (1, 1)
    common = math.gcd(*strides)
    y = tf.nn.depthwise_conv2d(x, kernel, [1, common, common, 1], "VALID", dilations=list(dilations))
    steps = [stride // common for stride in strides]
    return y[:, :: steps[0], :: steps[1]] if max(steps) > 1 else y


def pool(x: Any, op: Pool) -> Any:
    """Max or average pooling; padding is never chosen and not counted.

    Args:
        x: `[example, *spatial, channel]`.
        op: The operation.
    """
    import tensorflow as tf

    if len(op.window) == 1:
        wide = Pool(op.name, op.inputs, op.pooling, (1, *op.window), (1, *op.strides), ((0, 0), *op.pads))
        return tf.squeeze(pool(x[:, None], wide), 1)
    flat = len(op.window) == 2
    is_max = op.pooling is Pooling.MAX
    if is_max:
        function = tf.nn.max_pool2d if flat else tf.nn.max_pool3d
    else:
        function = tf.nn.avg_pool2d if flat else tf.nn.avg_pool3d
    window, strides = list(op.window), list(op.strides)
    if not any(map(any, op.pads)):
        return function(x, window, strides, "VALID")
    if _is_same(x.shape[1:-1], window, strides, op.pads, (1,) * len(window)):
        return function(x, window, strides, "SAME")
    padded = tf.pad(x, [(0, 0), *op.pads, (0, 0)], constant_values=-np.inf if is_max else 0.0)
    pooled = function(padded, window, strides, "VALID")
    return pooled if is_max else pooled * _inside(tuple(map(int, x.shape[1:-1])), op)


def _is_same(
    spatial: Sequence[int], window: Sequence[int], strides: Sequence[int], pads: Pads, dilations: Sequence[int]
) -> bool:
    """Whether these pads are what TensorFlow calls SAME, for which its kernels are tuned."""
    for size, extent, stride, pair, dilation in zip(spatial, window, strides, pads, dilations, strict=True):
        total = max((-(-int(size) // stride) - 1) * stride + (int(extent) - 1) * dilation + 1 - int(size), 0)
        if pair != (total // 2, total - total // 2):
            return False
    return True


def _dilated(kernel: Any, dilations: Sequence[int]) -> Any:
    """The kernel with zeros between its elements."""
    import tensorflow as tf

    for axis, dilation in enumerate(dilations):
        extent = int(kernel.shape[axis])
        if dilation > 1 and extent > 1:
            places = np.full((extent - 1) * dilation + 1, extent, np.int32)
            places[::dilation] = np.arange(extent)
            zeros = [(0, int(number == axis)) for number in range(len(kernel.shape))]
            kernel = tf.gather(tf.pad(kernel, zeros), places, axis=axis)
    return kernel


def _inside(spatial: tuple[int, ...], op: Pool) -> AnyArray:
    """Elements of a window over elements of it that are inside the picture, `[*position, 1]`."""
    factors = []
    for size, extent, stride, (before, after) in zip(spatial, op.window, op.strides, op.pads, strict=True):
        starts = np.arange(0, size + before + after - extent + 1, stride) - before
        counts = np.minimum(starts + extent, size) - np.maximum(starts, 0)
        factors.append(extent / counts)
    whole = np.ones((), np.float64)
    for factor in factors:
        whole = whole[..., None] * factor
    return np.asarray(whole[..., None], np.float32)


def _zeros(x: Any, kernel: Any, strides: Sequence[int], pads: Pads, dilations: Sequence[int]) -> Any:
    """What a convolution over no channel gives."""
    import tensorflow as tf

    from bprune.lowering.shapes import window_positions

    spatial, window = ([int(size) for size in item] for item in (x.shape[1:-1], kernel.shape[:-2]))
    positions = window_positions(spatial, window, strides, pads, dilations)
    return tf.zeros([tf.shape(x)[0], *positions, int(kernel.shape[-1])], kernel.dtype)
