"""One operation of a program as TensorFlow operations, in any of TensorFlow's modes.

Nothing here knows of engines or draws: weights come in as tensors. Tensors have the example axis first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import singledispatch
from typing import Any

import numpy as np

from bprune.arrays import AnyArray
from bprune.engines.tensorflow.windows import convolve, convolve_depthwise, pool
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
    Pool,
    Pooling,
    Reduce,
    Reduction,
    Reshape,
    Select,
    Transpose,
)

__all__ = ["emit", "fold_constant", "narrowed"]


class _Folded(dict[str, Any]):
    """Weight tensors without the rows of constant units."""


def emit(op: Op, inputs: Sequence[Any], weights: Mapping[str, Any]) -> Any:
    """Run one operation on a block of examples.

    Args:
        op: The operation.
        inputs: Its inputs, `[example, ...]`, float32 (the network's own input may be of another type).
        weights: Its weight tensors by field, of the shapes that the operation says, or as `fold_constant` gives them.
            A kernel may be bfloat16, and its bias with it: see `narrowed`.

    Returns:
        The tensor that it makes, `[example, ...]`, float32; bfloat16 behind a bfloat16 kernel, as long as operations
        follow that only choose or clip numbers (rounding before or after them is the same).
    """
    import tensorflow as tf

    return _emit(op, [tf.convert_to_tensor(item) for item in inputs], fold_constant(op, weights))


def fold_constant(op: Op, weights: Mapping[str, Any]) -> Mapping[str, Any]:
    """Do what is the same for all examples of a draw: the constant units' part of a product becomes part of the bias.

    Args:
        op: The operation.
        weights: Its weight tensors by field.

    Returns:
        The weight tensors without the rows of constant units. The bias may have spatial axes in front. Weights that
        were folded before are returned as they are.
    """
    if isinstance(weights, _Folded):
        return weights
    import tensorflow as tf

    result = _Folded(weights)
    constant = op.constant if isinstance(op, (Dense, Conv)) else None
    if constant is not None:
        units = int(weights["kernel"].shape[-2]) - constant.shape[-1]
        result["kernel"], rest = tf.split(weights["kernel"], [units, constant.shape[-1]], axis=-2)
        part = _constant_part(op, np.asarray(constant, np.float32), rest)
        result["bias"] = part + weights["bias"] if "bias" in weights else part
    return result


def narrowed(op: Op, weights: Mapping[str, Any]) -> Mapping[str, Any]:
    """Weights for a product in bfloat16, which TensorFlow's kernels sum in float32 and round once.

    A sampled bias stays float32, so that its noise is not rounded away.

    Args:
        op: The operation.
        weights: What `fold_constant` gave.
    """
    import tensorflow as tf

    fields = ["kernel"]
    bias = getattr(op, "bias", None)
    if bias is not None and not bias.is_sampled and len(weights["bias"].shape) == 1:
        fields.append("bias")
    return _Folded({**weights, **{field: tf.cast(weights[field], tf.bfloat16) for field in fields}})


def _constant_part(op: Op, constant: AnyArray, kernel: Any) -> Any:
    """What constant units add to a product, the same for every example."""
    import tensorflow as tf

    if isinstance(op, Conv):
        return convolve(tf.constant(constant[None]), kernel, op.strides, op.pads, op.dilations)[0]
    return tf.tensordot(tf.constant(constant), kernel, 1)


@singledispatch
def _emit(op: Op, inputs: Sequence[Any], weights: Mapping[str, Any]) -> Any:
    raise NotImplementedError(type(op).__name__)


@_emit.register
def _dense(op: Dense, inputs: Sequence[Any], weights: Mapping[str, Any]) -> Any:
    import tensorflow as tf

    x, kernel = inputs[0], weights["kernel"]
    units, outputs = (int(size) for size in kernel.shape)
    rows = x if x.shape.rank == 2 else tf.reshape(x, [-1, units])
    bias = weights.get("bias")
    early = bias if bias is not None and len(bias.shape) == 1 else None
    y = _with_bias(_product(tf.matmul, rows, kernel), early)
    if x.shape.rank != 2:
        y = tf.reshape(y, [-1, *x.shape[1:-1], outputs])
    return y if bias is None or early is not None else y + bias


@_emit.register
def _conv(op: Conv, inputs: Sequence[Any], weights: Mapping[str, Any]) -> Any:
    def product(x: Any, kernel: Any) -> Any:
        return convolve(x, kernel, op.strides, op.pads, op.dilations)

    return _with_bias(_product(product, inputs[0], weights["kernel"]), weights.get("bias"))


@_emit.register
def _depthwise(op: DepthwiseConv, inputs: Sequence[Any], weights: Mapping[str, Any]) -> Any:
    def product(x: Any, kernel: Any) -> Any:
        return convolve_depthwise(x, kernel, op.strides, op.pads, op.dilations)

    return _with_bias(_product(product, inputs[0], weights["kernel"]), weights.get("bias"))


@_emit.register
def _bias(op: Bias, inputs: Sequence[Any], weights: Mapping[str, Any]) -> Any:
    return _with_bias(inputs[0], weights["bias"])


@_emit.register
def _affine(op: Affine, inputs: Sequence[Any], weights: Mapping[str, Any]) -> Any:
    x = _float32(inputs[0])
    y = x if op.gain is None else x * np.asarray(op.gain, np.float32)
    return y if op.shift is None else y + np.asarray(op.shift, np.float32)


@_emit.register
def _activation(op: Activation, inputs: Sequence[Any], weights: Mapping[str, Any]) -> Any:
    import tensorflow as tf

    if op.function is Function.LEAKY_RELU:
        return tf.nn.leaky_relu(_float32(inputs[0]), op.alpha)
    return _functions()[op.function](inputs[0] if op.function in _CLIPPING else _float32(inputs[0]))


_CLIPPING = {Function.RELU, Function.RELU6, Function.ABS}


def _functions() -> dict[Function, Callable[[Any], Any]]:
    """The functions of `_activation`, by what they are called in TensorFlow."""
    import tensorflow as tf

    return {
        Function.RELU: tf.nn.relu,
        Function.RELU6: tf.nn.relu6,
        Function.ELU: tf.nn.elu,
        Function.SELU: tf.nn.selu,
        Function.GELU: tf.nn.gelu,
        Function.GELU_TANH: lambda x: tf.nn.gelu(x, approximate=True),
        Function.SWISH: lambda x: x * tf.sigmoid(x),
        Function.TANH: tf.tanh,
        Function.SIGMOID: tf.sigmoid,
        Function.SOFTPLUS: tf.nn.softplus,
        Function.SOFTSIGN: tf.nn.softsign,
        Function.SOFTMAX: tf.nn.softmax,
        Function.LOG_SOFTMAX: tf.nn.log_softmax,
        Function.SIN: tf.sin,
        Function.COS: tf.cos,
        Function.EXP: tf.exp,
        Function.LOG: tf.math.log,
        Function.SQRT: tf.sqrt,
        Function.RSQRT: tf.math.rsqrt,
        Function.SQUARE: tf.square,
        Function.ABS: tf.abs,
        Function.ERF: tf.math.erf,
        Function.RECIPROCAL: tf.math.reciprocal,
    }


@_emit.register
def _pool(op: Pool, inputs: Sequence[Any], weights: Mapping[str, Any]) -> Any:
    return pool(inputs[0] if op.pooling is Pooling.MAX else _float32(inputs[0]), op)


@_emit.register
def _reduce(op: Reduce, inputs: Sequence[Any], weights: Mapping[str, Any]) -> Any:
    import tensorflow as tf

    reduce = {Reduction.MEAN: tf.reduce_mean, Reduction.MAX: tf.reduce_max, Reduction.SUM: tf.reduce_sum}
    axes = [axis + 1 for axis in op.axes]
    return reduce[op.reduction](_float32(inputs[0]), axis=axes, keepdims=op.keep_axes)


@_emit.register
def _reshape(op: Reshape, inputs: Sequence[Any], weights: Mapping[str, Any]) -> Any:
    import tensorflow as tf

    sizes = list(op.shape)
    x = inputs[0]
    return tf.reshape(x, [int(x.shape[0]) if x.shape[0] is not None else -1, *sizes])


@_emit.register
def _transpose(op: Transpose, inputs: Sequence[Any], weights: Mapping[str, Any]) -> Any:
    import tensorflow as tf

    return tf.transpose(inputs[0], [0, *(axis + 1 for axis in op.permutation)])


@_emit.register
def _pad(op: Pad, inputs: Sequence[Any], weights: Mapping[str, Any]) -> Any:
    import tensorflow as tf

    return tf.pad(inputs[0], [(0, 0), *op.pads])


@_emit.register
def _select(op: Select, inputs: Sequence[Any], weights: Mapping[str, Any]) -> Any:
    import tensorflow as tf

    return tf.gather(inputs[0], np.asarray(op.units, np.int32), axis=-1)


@_emit.register
def _add(op: Add, inputs: Sequence[Any], weights: Mapping[str, Any]) -> Any:
    first, second = _aligned(inputs)
    return first + second


@_emit.register
def _multiply(op: Multiply, inputs: Sequence[Any], weights: Mapping[str, Any]) -> Any:
    first, second = _aligned(inputs)
    return first * second


@_emit.register
def _concat(op: Concat, inputs: Sequence[Any], weights: Mapping[str, Any]) -> Any:
    import tensorflow as tf

    is_mixed = len({item.dtype for item in inputs}) > 1
    return tf.concat([_float32(item) for item in inputs] if is_mixed else list(inputs), op.axis + 1)


def _product(product: Callable[[Any, Any], Any], x: Any, kernel: Any) -> Any:
    """A product in the kernel's type."""
    import tensorflow as tf

    return product(tf.cast(x, kernel.dtype), kernel)


def _with_bias(y: Any, bias: Any) -> Any:
    """The sum; a bias per unit as the operation that TensorFlow fuses with the product before it."""
    import tensorflow as tf

    if bias is None:
        return y
    if y.dtype != bias.dtype:
        y = _float32(y)
    return tf.nn.bias_add(y, bias) if len(bias.shape) == 1 and y.shape.rank > 1 else y + bias


def _float32(x: Any) -> Any:
    import tensorflow as tf

    return tf.cast(x, tf.float32)


def _aligned(inputs: Sequence[Any]) -> list[Any]:
    """Axes of length 1 behind the example axis where an input has fewer axes than the other."""
    import tensorflow as tf

    rank = max(item.shape.rank for item in inputs)
    result = []
    for item in inputs:
        missing = rank - item.shape.rank
        sizes = [-1, *(1,) * missing, *item.shape[1:]]
        result.append(_float32(tf.reshape(item, sizes) if missing else item))
    return result
