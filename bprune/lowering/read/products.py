"""Rules for layers: products with fixed, sampled and noisy kernels, and how the parts of a Bayesian layer join."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from bprune.lowering.ops import Activation, Add, Bias, Conv, Dense, DepthwiseConv, Function, Op, Reshape
from bprune.lowering.program import with_weights
from bprune.lowering.read.context import Context
from bprune.lowering.read.sizes import broadcast, product
from bprune.lowering.read.values import (
    Draw,
    Known,
    Perturbed,
    RefusedError,
    Scale,
    Signed,
    Spread,
    Tensor,
    Value,
    Variance,
)
from bprune.lowering.weights import Weights

__all__ = ["Emit", "add_bias", "merge", "multiply", "scope"]

Emit = Callable[[Tensor, Weights, str], Tensor]
"""Adds the product of a tensor and a kernel to the program; the last argument is the layer's name."""


def multiply(context: Context, node: Any, source: Value, kernel: Value, emit: Emit) -> Value:
    """The product of a layer's input and its kernel.

    Args:
        context: The state of the reader.
        node: The operation.
        source: The input.
        kernel: The kernel, in the form that the program's operation has.
        emit: Makes the operation.

    Raises:
        RefusedError: If there is no such layer.
    """
    if isinstance(kernel, (Tensor, Signed, Perturbed)):
        raise RefusedError("multiplies two tensors that depend on the example")
    if isinstance(source, Tensor) and isinstance(kernel, (Known, Draw)):
        return emit(source, *_weights(context, node, kernel))
    if isinstance(source, (Tensor, Signed)) and isinstance(kernel, Spread):
        located, layer = context.weights(kernel)
        tensor = source.tensor if isinstance(source, Signed) else source
        return Perturbed(emit(tensor, _without_location(located), layer), located)
    if isinstance(source, Tensor) and isinstance(kernel, Scale) and kernel.squared:
        return _variance(context, node, source, kernel, emit)
    if isinstance(source, Signed):
        raise RefusedError("multiplies inputs of random sign with weights that are not noise alone")
    raise RefusedError("multiplies a tensor with what is no kernel")


def scope(name: str) -> str:
    """What stands in front of the last part of an operation's name."""
    return name.rsplit("/", 1)[0]


def _weights(context: Context, node: Any, kernel: Known | Draw) -> tuple[Weights, str]:
    if isinstance(kernel, Draw):
        return context.weights(kernel)
    with np.errstate(all="ignore"):
        numbers = kernel.array.astype(np.float32)
    if kernel.array.dtype.kind != "f" or not np.isfinite(numbers).all():
        raise RefusedError("has weights that are not finite numbers")
    return Weights(numbers), context.owners.get(kernel.origin, scope(node.name))


def _without_location(weights: Weights) -> Weights:
    return replace(weights, loc=np.zeros_like(weights.loc))


def _variance(context: Context, node: Any, source: Tensor, kernel: Scale, emit: Emit) -> Value:
    """The squares of inputs and scales: the variance that local reparameterization takes the root of."""
    square = context.builder.ops.get(source.name)
    if not isinstance(square, Activation) or square.function is not Function.SQUARE:
        raise RefusedError("multiplies variances of weights with inputs that are not squares")
    if kernel.group.family != "Normal":
        raise RefusedError(f"takes variances of weights of the family {kernel.group.family}")
    located, layer = kernel.group.weights(kernel.ids, context.call_of(node.name, kernel.group))
    plain = emit(replace(source, name=square.inputs[0]), _without_location(located), layer)
    return Variance(plain, located, node.name)


def merge(context: Context, node: Any, tensor: Tensor, perturbed: Perturbed) -> Tensor:
    """Join the product with the location and the product with the noise: the Bayesian layer itself.

    Raises:
        RefusedError: If they are not products of the same input, or the location is not that of the noise.
    """
    shape = broadcast(tensor.shape, perturbed.shape)
    builder = context.builder
    fixed, noisy = (_unreshaped(context, item) for item in (tensor.name, perturbed.tensor.name))
    stretched = product(shape) != product(tensor.shape) or product(shape) != product(perturbed.shape)
    if fixed is None or noisy is None or stretched or not _is_same_product(fixed, noisy, perturbed.located):
        if perturbed.is_whole:
            return context.combine(node.name, tensor, perturbed.tensor, Add)
        raise RefusedError("adds noise to what is not the same layer's product with the location of the weights")
    layer = with_weights(noisy, {"kernel": perturbed.located.reshape(*_kernel(noisy).shape)})
    is_last = fixed is builder.ops.get(tensor.name)
    name = builder.add(replace(layer, name=node.name if is_last else f"{node.name}/product"))
    return context.view(node.name, Tensor(name, (context.examples, *builder.shapes[name])), shape)


def _unreshaped(context: Context, tensor: str) -> Op | None:
    """What makes a tensor, Reshapes aside: they keep the order of the elements."""
    op = context.builder.ops.get(tensor)
    while isinstance(op, Reshape):
        op = context.builder.ops.get(op.inputs[0])
    return op


def _kernel(op: Op) -> Weights:
    if not isinstance(op, (Conv, Dense, DepthwiseConv)):
        raise RefusedError("adds noise to what is no layer's product")
    return op.kernel


def _is_same_product(fixed: Op, noisy: Op, located: Weights) -> bool:
    if type(fixed) is not type(noisy) or fixed.inputs != noisy.inputs:
        return False
    if isinstance(fixed, (Conv, DepthwiseConv)) and isinstance(noisy, (Conv, DepthwiseConv)):
        windows = [(op.strides, op.pads, op.dilations) for op in (fixed, noisy)]
        if windows[0] != windows[1]:
            return False
    elif not isinstance(fixed, Dense):
        return False
    kernel = _kernel(fixed)
    return (
        kernel.scale is None
        and kernel.shape == _kernel(noisy).shape
        and np.array_equal(kernel.loc.reshape(-1), located.loc.reshape(-1))
    )


def add_bias(context: Context, node: Any, tensor: Tensor, bias: Draw | Spread) -> Tensor:
    """A sampled bias, along the last axis.

    Raises:
        RefusedError: If it is not one weight per unit.
    """
    weights, layer = context.weights(bias)
    if isinstance(bias, Spread) and np.any(weights.loc):
        raise RefusedError("adds the noise of weights without their location")
    rest = context.layout(tensor.shape).rest
    if rest[-1:] != bias.shape[-1:] or weights.loc.size != rest[-1] or len(bias.shape) > len(tensor.shape):
        raise RefusedError("adds sampled weights that are not one per unit")
    op = Bias(node.name, (tensor.name,), weights.reshape(weights.loc.size), layer)
    return Tensor(context.builder.add(op), tensor.shape)
