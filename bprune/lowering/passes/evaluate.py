"""What an operation does to numbers that are known before any example: one example without the example axis."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from scipy import special

from bprune.arrays import AnyArray, Float64Array
from bprune.lowering.ops import (
    Activation,
    Add,
    Affine,
    Concat,
    Function,
    Multiply,
    Op,
    Pad,
    Pads,
    Pool,
    Pooling,
    Reduce,
    Reduction,
    Reshape,
    Select,
    Transpose,
)

__all__ = ["convolve", "evaluate", "windows"]

_SELU_ALPHA, _SELU_SCALE = 1.6732632423543772, 1.0507009873554805

_FUNCTIONS: dict[Function, Callable[[AnyArray], AnyArray]] = {
    Function.RELU: lambda x: np.maximum(x, 0.0),
    Function.RELU6: lambda x: np.minimum(np.maximum(x, 0.0), 6.0),
    Function.ELU: lambda x: np.where(x > 0.0, x, np.expm1(np.minimum(x, 0.0))),
    Function.SELU: lambda x: _SELU_SCALE * np.where(x > 0.0, x, _SELU_ALPHA * np.expm1(np.minimum(x, 0.0))),
    Function.GELU: lambda x: 0.5 * x * (1.0 + special.erf(x / np.sqrt(2.0))),
    Function.GELU_TANH: lambda x: 0.5 * x * (1.0 + np.tanh(np.sqrt(2.0 / np.pi) * (x + 0.044715 * x**3))),
    Function.SWISH: lambda x: x * special.expit(x),
    Function.TANH: np.tanh,
    Function.SIGMOID: special.expit,
    Function.SOFTPLUS: lambda x: np.logaddexp(x, 0.0),
    Function.SOFTSIGN: lambda x: x / (1.0 + np.abs(x)),
    Function.SOFTMAX: lambda x: special.softmax(x, axis=-1),
    Function.LOG_SOFTMAX: lambda x: special.log_softmax(x, axis=-1),
    Function.SIN: np.sin,
    Function.COS: np.cos,
    Function.EXP: np.exp,
    Function.LOG: np.log,
    Function.SQRT: np.sqrt,
    Function.RSQRT: lambda x: 1.0 / np.sqrt(x),
    Function.SQUARE: np.square,
    Function.ABS: np.abs,
    Function.ERF: special.erf,
    Function.RECIPROCAL: lambda x: 1.0 / x,
}

_REDUCTIONS: dict[Reduction, Callable[..., AnyArray]] = {
    Reduction.MEAN: np.mean,
    Reduction.MAX: np.max,
    Reduction.SUM: np.sum,
}


def evaluate(op: Op, inputs: Sequence[AnyArray]) -> Float64Array:
    """The result of an operation without weights.

    Args:
        op: Any operation but Dense, Conv, DepthwiseConv and Bias.
        inputs: What it reads, without the example axis.

    Returns:
        The result, float64; not finite where the function is not defined.

    Raises:
        TypeError: If the operation has weights.
    """
    with np.errstate(all="ignore"):
        return np.asarray(_evaluate(op, [np.asarray(item, np.float64) for item in inputs]), np.float64)


def _evaluate(op: Op, inputs: Sequence[AnyArray]) -> AnyArray:
    x = inputs[0]
    if isinstance(op, Affine):
        scaled = x if op.gain is None else op.gain.astype(np.float64) * x
        return scaled if op.shift is None else np.asarray(scaled + op.shift.astype(np.float64))
    if isinstance(op, Activation):
        if op.function is Function.LEAKY_RELU:
            return np.asarray(np.maximum(x, 0.0) + op.alpha * np.minimum(x, 0.0))
        return np.asarray(_FUNCTIONS[op.function](x))
    if isinstance(op, Add):
        return np.asarray(x + inputs[1])
    if isinstance(op, Multiply):
        return np.asarray(x * inputs[1])
    if isinstance(op, Concat):
        return np.concatenate(inputs, axis=op.axis)
    return _rearranged(op, x)


def _rearranged(op: Op, x: AnyArray) -> AnyArray:
    if isinstance(op, Pool):
        return _pooled(op, x)
    if isinstance(op, Reduce):
        return np.asarray(_REDUCTIONS[op.reduction](x, axis=op.axes, keepdims=op.keep_axes))
    if isinstance(op, Reshape):
        return x.reshape(op.shape)
    if isinstance(op, Transpose):
        return x.transpose(op.permutation)
    if isinstance(op, Pad):
        return np.pad(x, op.pads)
    if isinstance(op, Select):
        return x[..., op.units]
    raise TypeError(f"{type(op).__name__} has weights")


def _pooled(op: Pool, x: AnyArray) -> AnyArray:
    ones, inner = (1,) * len(op.window), tuple(range(-len(op.window), 0))
    if op.pooling is Pooling.MAX:
        return np.asarray(windows(x, op.window, op.strides, op.pads, ones, -np.inf).max(axis=inner))
    total = windows(x, op.window, op.strides, op.pads, ones).sum(axis=inner)
    inside = np.ones((*x.shape[:-1], 1))
    return np.asarray(total / windows(inside, op.window, op.strides, op.pads, ones).sum(axis=inner))


def windows(
    x: AnyArray,
    window: tuple[int, ...],
    strides: tuple[int, ...],
    pads: Pads,
    dilations: tuple[int, ...],
    fill: float = 0.0,
) -> AnyArray:
    """What a window sees at every position.

    Args:
        x: `[*spatial, channel]`.
        window: Per spatial axis.
        strides: Per spatial axis.
        pads: Per spatial axis.
        dilations: Per spatial axis.
        fill: The number in the pads.

    Returns:
        `[*position, channel, *window]`.
    """
    padded = np.pad(x, (*pads, (0, 0)), constant_values=fill)
    extents = tuple((size - 1) * dilation + 1 for size, dilation in zip(window, dilations, strict=True))
    views = np.lib.stride_tricks.sliding_window_view(padded, extents, axis=tuple(range(len(window))))
    positions = tuple(slice(None, None, stride) for stride in strides)
    return views[(*positions, slice(None), *(slice(None, None, dilation) for dilation in dilations))]


def convolve(
    x: AnyArray,
    kernel: AnyArray,
    strides: tuple[int, ...],
    pads: Pads,
    dilations: tuple[int, ...],
) -> Float64Array:
    """A convolution of one picture.

    Args:
        x: `[*spatial, in]`.
        kernel: `[*window, in, out]`.
        strides: Per spatial axis.
        pads: Per spatial axis.
        dilations: Per spatial axis.

    Returns:
        `[*position, out]`, float64.
    """
    axes = kernel.ndim - 2
    seen = windows(np.asarray(x, np.float64), kernel.shape[:axes], strides, pads, dilations)
    over = (axes, *range(axes + 1, 2 * axes + 1))
    return np.asarray(np.tensordot(seen, kernel.astype(np.float64), axes=(over, (axes, *range(axes)))), np.float64)
