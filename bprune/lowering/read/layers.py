"""Rules for matrix products and batch normalisation."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np

from bprune.arrays import AnyArray
from bprune.lowering.ops import Add, Dense, Function, Multiply, Reduce, Reduction
from bprune.lowering.read.context import Context, Rules, settled
from bprune.lowering.read.products import multiply
from bprune.lowering.read.values import Draw, Filled, Known, RefusedError, Scale, Signed, Spread, Tensor, Value
from bprune.lowering.weights import Weights

__all__ = ["RULES"]


def _dense(context: Context, name: str, tensor: Tensor, weights: Weights, layer: str) -> Tensor:
    if not context.layout(tensor.shape).rest:
        raise RefusedError("multiplies along the axis of the examples")
    made = context.builder.add(Dense(name, (tensor.name,), weights, layer=layer))
    return Tensor(made, (*tensor.shape[:-1], weights.shape[1]))


def _matrix(kernel: Value, transposed: bool) -> Value:
    """A kernel as a matrix, `[in, out]`."""

    def arranged(array: AnyArray) -> AnyArray:
        if array.ndim < 2 or math.prod(array.shape[:-2]) != 1:
            raise RefusedError("multiplies with something else than one matrix")
        matrix = array.reshape(array.shape[-2:])
        return matrix.T if transposed else matrix

    if isinstance(kernel, Known):
        return replace(kernel, array=arranged(kernel.array))
    if isinstance(kernel, (Draw, Spread, Scale)):
        return replace(kernel, ids=arranged(kernel.ids))
    return kernel


def _matmul(context: Context, node: Any, values: list[Value]) -> Value:
    flags = ("transpose_a", "transpose_b") if node.op == "MatMul" else ("adj_x", "adj_y")
    source, kernel = values
    if node.attr[flags[0]].b or (isinstance(source, Known) and isinstance(kernel, Tensor)):
        raise RefusedError("multiplies along the axis of the examples")
    rank = len(getattr(kernel, "shape", ()))
    if rank > len(getattr(source, "shape", ())):
        raise RefusedError("multiplies with something else than one matrix")

    def emit(tensor: Tensor, weights: Weights, layer: str) -> Tensor:
        return _dense(context, node.name, tensor, weights, layer)

    return multiply(context, node, settled(source), _matrix(kernel, bool(node.attr[flags[1]].b)), emit)


def _einsum(context: Context, node: Any, values: list[Value]) -> Value:
    """`ab..z, z..y -> ab..y`: the last axes of a tensor are summed with the first ones of a kernel."""
    equation = node.attr["equation"].s.decode("ascii", "replace").replace(" ", "")
    operands, _, result = equation.partition("->")
    letters = operands.replace("...", "").split(",")
    source, kernel = (settled(item) for item in values)
    if "..." in equation and not operands.startswith("...") and not result.startswith("..."):
        raise RefusedError(f"computes {equation}, which is no layer of a program")
    if len(letters) != 2 or not isinstance(source, (Tensor, Signed)):
        raise RefusedError(f"computes {equation}, which is no layer of a program")
    first, second = letters
    count = next((n for n in range(len(second), 0, -1) if first.endswith(second[:n])), 0)
    kept = first[: len(first) - count] + second[count:]
    if not count or result.replace("...", "") != kept or len(set(first + second)) != len(first + second) - count:
        raise RefusedError(f"computes {equation}, which is no layer of a program")
    return _contracted(context, node, source, kernel, count)


def _contracted(context: Context, node: Any, source: Tensor | Signed, kernel: Value, count: int) -> Value:
    tensor = source.tensor if isinstance(source, Signed) else source
    layout = context.layout(tensor.shape)
    if layout.lead or len(layout.rest) < count:
        raise RefusedError("multiplies along the axis of the examples")
    if isinstance(source, Signed) and count > 1:
        raise RefusedError("sums several axes of inputs with random signs")
    leading = tensor.shape[: len(tensor.shape) - count]
    flat = context.view(f"{node.name}/rows", tensor, (*leading, math.prod(layout.rest[len(layout.rest) - count :])))
    units: tuple[int, ...] = ()

    def matrix(array: AnyArray) -> AnyArray:
        nonlocal units
        units = array.shape[count:]
        return array.reshape(math.prod(array.shape[:count]), math.prod(units))

    if isinstance(kernel, Known):
        kernel = replace(kernel, array=matrix(kernel.array))
    elif isinstance(kernel, (Draw, Spread, Scale)):
        kernel = replace(kernel, ids=matrix(kernel.ids))

    def emit(rows: Tensor, weights: Weights, layer: str) -> Tensor:
        made = _dense(context, node.name, rows, weights, layer)
        return context.view(f"{node.name}/units", made, (*leading, *units))

    return multiply(context, node, replace(source, tensor=flat) if isinstance(source, Signed) else flat, kernel, emit)


def _batch_norm(context: Context, node: Any, values: list[Value]) -> list[Value]:
    tensor, *numbers = (settled(item) for item in values)
    if not isinstance(tensor, Tensor) or len(numbers) != 4:
        raise RefusedError("normalises what is no tensor of the program")
    if node.attr["is_training"].b:
        return [_layer_norm(context, node, tensor, numbers[:2])]
    if node.attr["data_format"].s not in {b"NHWC", b"NDHWC", b""}:
        raise RefusedError("has its channels first; a program has them last")
    arrays = [item.array.astype(np.float64) for item in numbers if isinstance(item, Known)]
    if len(arrays) != 4:
        raise RefusedError("normalises with numbers that are not known")
    factor, offset, mean, variance = arrays
    with np.errstate(all="ignore"):
        gain = factor / np.sqrt(variance + float(node.attr["epsilon"].f))
    if gain.shape[-1:] != context.layout(tensor.shape).rest[-1:]:
        raise RefusedError("normalises another number of channels")
    result = context.affine(node.name, tensor, gain=gain, shift=offset - mean * gain)
    return [result, numbers[2], numbers[3], numbers[2], numbers[3], Known(np.zeros(0, np.float32))]


def _layer_norm(context: Context, node: Any, tensor: Tensor, numbers: list[Value]) -> Value:
    """Layer normalisation as Keras writes it: every row of every example is a channel of one picture.

    Any other normalisation with statistics of its own mixes examples.
    """
    neutral = [
        isinstance(item, Filled) and bool(np.all(item.array == n)) for item, n in zip(numbers, (1, 0), strict=True)
    ]
    rows = node.attr["data_format"].s == b"NCHW" and len(tensor.shape) == 4 and tensor.shape[0] == 1
    layout = context.layout(tensor.shape)
    if not rows or not all(neutral) or len(layout.rest) < 2:
        raise RefusedError("normalises with the statistics of the batch")
    rank = len(context.builder.shapes[tensor.name])
    axes = (rank - 2, rank - 1)

    def mean(name: str, source: str) -> str:
        return context.builder.add(Reduce(f"{node.name}/{name}", (source,), Reduction.MEAN, axes, keep_axes=True))

    minus = context.builder.affine(f"{node.name}/minus", mean("mean", tensor.name), gain=-1.0)
    centred = context.builder.add(Add(f"{node.name}/centred", (tensor.name, minus)))
    squares = context.builder.activation(f"{node.name}/squares", centred, Function.SQUARE)
    epsilon = float(node.attr["epsilon"].f)
    variance = context.builder.affine(f"{node.name}/epsilon", mean("variance", squares), shift=epsilon)
    inverse = context.builder.activation(f"{node.name}/rsqrt", variance, Function.RSQRT)
    return Tensor(context.builder.add(Multiply(node.name, (centred, inverse))), tensor.shape)


RULES: Rules = {
    "BatchMatMul": _matmul,
    "BatchMatMulV2": _matmul,
    "BatchMatMulV3": _matmul,
    "Einsum": _einsum,
    "FusedBatchNorm": _batch_norm,
    "FusedBatchNormV2": _batch_norm,
    "FusedBatchNormV3": _batch_norm,
    "MatMul": _matmul,
}
"""Products with matrices, and batch normalisation."""
