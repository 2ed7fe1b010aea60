"""The plain slow oracle: a program run in NumPy, in float64, one operation after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import singledispatch

import numpy as np
from scipy import special

from bprune.arrays import AnyArray
from bprune.lowering.ops import (
    Activation,
    Add,
    Affine,
    Bias,
    Concat,
    Conv,
    Dense,
    DepthwiseConv,
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
from bprune.lowering.program import Program
from bprune.lowering.weights import Stream, Weights

__all__ = ["FUNCTIONS", "Noise", "run_program", "run_tensors", "sample", "standard_noise"]

Noise = Callable[[Stream], AnyArray]
"""One draw: the standard noise of all elements that a posterior had at first, by stream."""

_SELU_ALPHA, _SELU_SCALE = 1.6732632423543772, 1.0507009873554805

FUNCTIONS: dict[Function, Callable[[AnyArray], AnyArray]] = {
    Function.RELU: lambda x: np.maximum(x, 0.0),
    Function.RELU6: lambda x: np.clip(x, 0.0, 6.0),
    Function.ELU: lambda x: np.where(x > 0.0, x, np.expm1(np.minimum(x, 0.0))),
    Function.SELU: lambda x: _SELU_SCALE * np.where(x > 0.0, x, _SELU_ALPHA * np.expm1(np.minimum(x, 0.0))),
    Function.GELU: lambda x: x * special.ndtr(x),
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
"""Every activation but the leaky relu, which has a parameter."""


def standard_noise(seed: int) -> Noise:
    """Standard normal noise that depends on the seed and the stream alone."""

    def noise(stream: Stream) -> AnyArray:
        return np.random.default_rng([seed, *stream.key.encode()]).standard_normal(stream.size)

    return noise


def run_program(program: Program, inputs: AnyArray, noise: Noise | None = None) -> list[AnyArray]:
    """One draw of a program, the same weights for all examples.

    Args:
        program: The program.
        inputs: `[example, ...]`.
        noise: The draw; None for scales of 0.

    Returns:
        The outputs in the order of `program.outputs`: `[example, ...]`, float64.
    """
    tensors = run_tensors(program, inputs, noise)
    return [tensors[name] for name in program.outputs]


def run_tensors(program: Program, inputs: AnyArray, noise: Noise | None = None) -> dict[str, AnyArray]:
    """All tensors of one draw by name, `[example, ...]`, float64; see `run_program`."""
    tensors = {program.input: np.asarray(inputs, np.float64)}
    for op in program.ops:
        with np.errstate(all="ignore"):
            tensors[op.name] = np.asarray(_run(op, [tensors[name] for name in op.inputs], noise))
    return tensors


def sample(weights: Weights, noise: Noise | None) -> AnyArray:
    """The weights of one draw, float64."""
    values = weights.loc.astype(np.float64)
    if weights.scale is not None and weights.stream is not None and noise is not None:
        standard = np.asarray(noise(weights.stream), np.float64).reshape(-1)
        assert standard.size == weights.stream.size
        values = values + weights.scale.astype(np.float64) * standard[weights.ids]
    return np.asarray(np.exp(values) if weights.family == "LogNormal" else values)


@singledispatch
def _run(op: Op, inputs: list[AnyArray], noise: Noise | None) -> AnyArray:
    raise NotImplementedError(type(op).__name__)


@_run.register
def _dense(op: Dense, inputs: list[AnyArray], noise: Noise | None) -> AnyArray:
    return _biased(_extended(inputs[0], op.constant) @ sample(op.kernel, noise), op.bias, noise)


@_run.register
def _conv(op: Conv, inputs: list[AnyArray], noise: Noise | None) -> AnyArray:
    kernel = sample(op.kernel, noise)
    x = _extended(inputs[0], op.constant)
    parts = _shifted(x, kernel.shape[:-2], op.strides, op.pads, op.dilations, 0.0)
    return _biased(sum(part @ kernel[offset] for offset, part in parts), op.bias, noise)


@_run.register
def _depthwise(op: DepthwiseConv, inputs: list[AnyArray], noise: Noise | None) -> AnyArray:
    kernel = sample(op.kernel, noise)
    parts = _shifted(inputs[0], kernel.shape[:2], op.strides, op.pads, op.dilations, 0.0)
    total = sum(part[..., None] * kernel[offset] for offset, part in parts)
    assert not isinstance(total, int)
    return _biased(total.reshape(*total.shape[:-2], -1), op.bias, noise)


@_run.register
def _bias(op: Bias, inputs: list[AnyArray], noise: Noise | None) -> AnyArray:
    return inputs[0] + sample(op.bias, noise)


@_run.register
def _affine(op: Affine, inputs: list[AnyArray], noise: Noise | None) -> AnyArray:
    gain = 1.0 if op.gain is None else op.gain.astype(np.float64)
    shift = 0.0 if op.shift is None else op.shift.astype(np.float64)
    return np.asarray(gain * inputs[0] + shift)


@_run.register
def _activation(op: Activation, inputs: list[AnyArray], noise: Noise | None) -> AnyArray:
    if op.function is Function.LEAKY_RELU:
        return np.asarray(np.maximum(inputs[0], 0.0) + op.alpha * np.minimum(inputs[0], 0.0))
    return np.asarray(FUNCTIONS[op.function](inputs[0]))


@_run.register
def _pool(op: Pool, inputs: list[AnyArray], noise: Noise | None) -> AnyArray:
    ones = (1,) * len(op.window)
    if op.pooling is Pooling.MAX:
        parts = _shifted(inputs[0], op.window, op.strides, op.pads, ones, -np.inf)
        return np.asarray(np.max([part for _, part in parts], axis=0))
    total = sum(part for _, part in _shifted(inputs[0], op.window, op.strides, op.pads, ones, 0.0))
    inside = np.ones_like(inputs[0])
    return np.asarray(total / sum(part for _, part in _shifted(inside, op.window, op.strides, op.pads, ones, 0.0)))


@_run.register
def _reduce(op: Reduce, inputs: list[AnyArray], noise: Noise | None) -> AnyArray:
    function = {Reduction.MEAN: np.mean, Reduction.MAX: np.max, Reduction.SUM: np.sum}[op.reduction]
    axes = tuple(axis + 1 for axis in op.axes)
    return np.asarray(function(inputs[0], axis=axes, keepdims=op.keep_axes))  # type: ignore[operator]


@_run.register
def _reshape(op: Reshape, inputs: list[AnyArray], noise: Noise | None) -> AnyArray:
    return inputs[0].reshape(len(inputs[0]), *op.shape)


@_run.register
def _transpose(op: Transpose, inputs: list[AnyArray], noise: Noise | None) -> AnyArray:
    return inputs[0].transpose(0, *(axis + 1 for axis in op.permutation))


@_run.register
def _pad(op: Pad, inputs: list[AnyArray], noise: Noise | None) -> AnyArray:
    return np.pad(inputs[0], ((0, 0), *op.pads))


@_run.register
def _select(op: Select, inputs: list[AnyArray], noise: Noise | None) -> AnyArray:
    return inputs[0][..., op.units]


@_run.register
def _add(op: Add, inputs: list[AnyArray], noise: Noise | None) -> AnyArray:
    first, second = _aligned(inputs)
    return first + second


@_run.register
def _multiply(op: Multiply, inputs: list[AnyArray], noise: Noise | None) -> AnyArray:
    first, second = _aligned(inputs)
    return first * second


@_run.register
def _concat(op: Concat, inputs: list[AnyArray], noise: Noise | None) -> AnyArray:
    return np.concatenate(inputs, axis=op.axis + 1)


def _biased(x: AnyArray, bias: Weights | None, noise: Noise | None) -> AnyArray:
    return x if bias is None else np.asarray(x + sample(bias, noise))


def _extended(x: AnyArray, constant: AnyArray | None) -> AnyArray:
    """Constant units behind those of x, the same for every example."""
    if constant is None:
        return x
    return np.concatenate([x, np.broadcast_to(constant.astype(np.float64), (len(x), *constant.shape))], axis=-1)


def _aligned(inputs: list[AnyArray]) -> list[AnyArray]:
    """Axes of length 1 behind the example axis where an input has fewer axes than the other."""
    rank = max(item.ndim for item in inputs)
    return [item.reshape(len(item), *(1,) * (rank - item.ndim), *item.shape[1:]) for item in inputs]


def _shifted(
    x: AnyArray,
    window: tuple[int, ...],
    strides: tuple[int, ...],
    pads: Pads,
    dilations: tuple[int, ...],
    fill: float,
) -> Iterator[tuple[tuple[int, ...], AnyArray]]:
    """For every offset in the window, what it sees at all positions: `[example, *positions, channel]`."""
    padded = np.pad(x, ((0, 0), *pads, (0, 0)), constant_values=fill)
    extents = [(size - 1) * dilation + 1 for size, dilation in zip(window, dilations, strict=True)]
    counts = [(n - e) // s + 1 for n, e, s in zip(padded.shape[1:-1], extents, strides, strict=True)]
    for offset in np.ndindex(*window):
        starts = [number * dilation for number, dilation in zip(offset, dilations, strict=True)]
        spans = [slice(a, a + (n - 1) * s + 1, s) for a, n, s in zip(starts, counts, strides, strict=True)]
        yield offset, padded[(slice(None), *spans)]
