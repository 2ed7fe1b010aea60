"""Rules for arithmetic and functions that work element by element."""

from __future__ import annotations

from typing import Any

import numpy as np

from bprune.arrays import AnyArray
from bprune.case.nodes import dtype_name
from bprune.lowering.ops import Activation, Add, Affine, Function, Multiply
from bprune.lowering.read import noise
from bprune.lowering.read.constants import BINARY, UNARY, as_dtype
from bprune.lowering.read.context import Context, Rule, Rules, settled
from bprune.lowering.read.products import add_bias
from bprune.lowering.read.sizes import broadcast
from bprune.lowering.read.values import (
    Coin,
    Draw,
    Filled,
    Known,
    Noise,
    Perturbed,
    RefusedError,
    Scale,
    Seed,
    Signed,
    Spread,
    Tensor,
    Value,
    Variance,
)

__all__ = ["RULES"]

_LARGEST_LIMIT = 16.0
"""Up to here `x - limit` loses nothing that matters to float32."""

_FUNCTIONS = {
    "Abs": Function.ABS,
    "Cos": Function.COS,
    "Elu": Function.ELU,
    "Erf": Function.ERF,
    "Exp": Function.EXP,
    "Inv": Function.RECIPROCAL,
    "Log": Function.LOG,
    "LogSoftmax": Function.LOG_SOFTMAX,
    "Reciprocal": Function.RECIPROCAL,
    "Relu": Function.RELU,
    "Relu6": Function.RELU6,
    "Rsqrt": Function.RSQRT,
    "Selu": Function.SELU,
    "Sigmoid": Function.SIGMOID,
    "Sin": Function.SIN,
    "Softmax": Function.SOFTMAX,
    "Softplus": Function.SOFTPLUS,
    "Softsign": Function.SOFTSIGN,
    "Sqrt": Function.SQRT,
    "Square": Function.SQUARE,
    "Tanh": Function.TANH,
}

_Fixed = (Known, Filled)


def _nothing(value: Value) -> RefusedError:
    """Why a value cannot be used any further."""
    if isinstance(value, (Noise, Coin)):
        return RefusedError(noise.BESIDE)
    if isinstance(value, (Scale, Spread, Draw)):
        return RefusedError("computes with the weights of a posterior in a way that no layer does")
    if isinstance(value, (Signed, Perturbed, Variance)):
        return RefusedError("computes with the noise of a layer in a way that no layer does")
    return RefusedError("is not an operation that a program has")


def _refused(first: Value, second: Value) -> RefusedError:
    strange = [item for item in (first, second) if not isinstance(item, (*_Fixed, Tensor))]
    return _nothing(strange[0] if strange else first)


def _filled(op: str, first: Known | Filled, second: Known | Filled) -> Filled:
    with np.errstate(all="ignore"):
        array = np.asarray(BINARY[op](first.array, second.array))
    return Filled(array, broadcast(first.shape, second.shape))


def _add(context: Context, node: Any, values: list[Value]) -> Value:
    first, second = values
    if isinstance(first, _Fixed) and isinstance(second, _Fixed):
        return _filled("Add", first, second)
    made = noise.add(context, node, first, second)
    if made is not None:
        return made
    for a, b in ((first, second), (second, first)):
        a = settled(a)
        if isinstance(a, Tensor) and isinstance(b, _Fixed):
            a, numbers = context.aligned(node.name, a, b)
            return context.affine(node.name, a, shift=numbers)
        if isinstance(a, Tensor) and isinstance(b, (Draw, Spread)):
            return add_bias(context, node, a, b)
    first, second = settled(first), settled(second)
    if isinstance(first, Tensor) and isinstance(second, Tensor):
        return context.combine(node.name, first, second, Add)
    raise _refused(first, second)


def negated(context: Context, node: Any, value: Value) -> Value:
    """Minus a value."""
    if isinstance(value, Known):
        return Known(-value.array, value.origin)
    if isinstance(value, Filled):
        return Filled(-value.array, value.shape)
    value = settled(value)
    if isinstance(value, Tensor):
        return context.affine(f"{node.name}/negative", value, gain=-1.0)
    made = noise.negate(value)
    if made is None:
        raise _nothing(value)
    return made


def _subtract(context: Context, node: Any, values: list[Value]) -> Value:
    first, second = values
    if isinstance(first, _Fixed) and isinstance(second, _Fixed):
        return _filled("Sub", first, second)
    first, second = settled(first), settled(second)
    if isinstance(first, _Fixed) and isinstance(second, Tensor):
        second, numbers = context.aligned(node.name, second, first)
        return context.affine(node.name, second, gain=-1.0, shift=numbers)
    return _add(context, node, [first, negated(context, node, second)])


def _multiply(context: Context, node: Any, values: list[Value]) -> Value:
    first, second = values
    if isinstance(first, _Fixed) and isinstance(second, _Fixed):
        return _filled("Mul", first, second)
    made = noise.multiply(context, node, first, second)
    if made is not None:
        return made
    first, second = settled(first), settled(second)
    for a, b in ((first, second), (second, first)):
        if isinstance(a, Tensor) and isinstance(b, _Fixed):
            a, numbers = context.aligned(node.name, a, b)
            return context.affine(node.name, a, gain=numbers)
    if isinstance(first, Tensor) and isinstance(second, Tensor):
        if first.name == second.name and first.shape == second.shape:
            return context.apply(node.name, first, Function.SQUARE)
        return context.combine(node.name, first, second, Multiply)
    raise _refused(first, second)


def _divide(context: Context, node: Any, values: list[Value]) -> Value:
    first, second = values
    if isinstance(first, _Fixed) and isinstance(second, _Fixed):
        return _filled("RealDiv", first, second)
    if isinstance(second, _Fixed):
        if second.array.dtype == object:
            raise RefusedError("divides by the number of examples")
        with np.errstate(all="ignore"):
            inverse = np.asarray(1.0 / second.array.astype(np.float64))
        reciprocal = Known(inverse) if isinstance(second, Known) else Filled(inverse, second.shape)
        return _multiply(context, node, [first, reciprocal])
    second = settled(second)
    if not isinstance(second, Tensor):
        raise _nothing(second)
    inverted = context.apply(f"{node.name}/reciprocal", second, Function.RECIPROCAL)
    return _multiply(context, node, [first, inverted])


def _divide_safely(context: Context, node: Any, values: list[Value]) -> Value:
    if not isinstance(values[1], _Fixed) or not np.all(values[1].array):
        raise RefusedError("divides by what may be 0")
    return _divide(context, node, values)


def _square_of_difference(context: Context, node: Any, values: list[Value]) -> Value:
    difference = _subtract(context, node, values)
    if not isinstance(difference, Tensor):
        raise _nothing(difference)
    return context.apply(f"{node.name}/square", difference, Function.SQUARE)


def _power(context: Context, node: Any, values: list[Value]) -> Value:
    base, exponent = settled(values[0]), values[1]
    if not isinstance(base, Tensor) or not isinstance(exponent, _Fixed) or exponent.array.size != 1:
        raise _refused(base, exponent)
    number = float(exponent.array.reshape(()))
    if number == 1.0:
        return base
    functions = {2.0: Function.SQUARE, 0.5: Function.SQRT, -0.5: Function.RSQRT, -1.0: Function.RECIPROCAL}
    if number in functions:
        return context.apply(node.name, base, functions[number])
    if number not in {3.0, 4.0}:
        raise RefusedError(f"raises a tensor to the power {number:g}")
    square = context.apply(f"{node.name}/square", base, Function.SQUARE)
    if number == 4.0:
        return context.apply(node.name, square, Function.SQUARE)
    return context.combine(node.name, square, base, Multiply)


def _maximum(context: Context, node: Any, values: list[Value]) -> Value:
    first, second = map(settled, values)
    if isinstance(first, Tensor) and isinstance(second, Tensor):
        for a, b in ((first, second), (second, first)):
            slope = _slope(context, a, b)
            if slope is not None and slope <= 1.0:
                return context.apply(node.name, a, Function.LEAKY_RELU, slope)
        raise RefusedError("takes the larger one of two tensors")
    tensor, limit = _limited(context, node, first, second)
    if not np.any(limit):
        return context.apply(node.name, tensor, Function.RELU)
    shifted = context.affine(f"{node.name}/above", tensor, shift=-limit)
    rectified = context.apply(f"{node.name}/relu", shifted, Function.RELU)
    return context.affine(node.name, rectified, shift=limit)


def _slope(context: Context, source: Tensor, scaled: Tensor) -> float | None:
    """The factor, when one tensor is a multiple of another."""
    op = context.builder.ops.get(scaled.name)
    if not isinstance(op, Affine) or op.inputs != (source.name,) or op.shift is not None or op.gain is None:
        return None
    return float(op.gain.reshape(())) if op.gain.size == 1 else None


def _minimum(context: Context, node: Any, values: list[Value]) -> Value:
    tensor, limit = _limited(context, node, *map(settled, values))
    relu = context.builder.ops.get(tensor.name)
    if isinstance(relu, Activation) and relu.function is Function.RELU and np.all(limit == 6.0):
        return context.apply(node.name, Tensor(relu.inputs[0], tensor.shape), Function.RELU6)
    below = context.affine(f"{node.name}/below", tensor, gain=-1.0, shift=limit)
    rectified = context.apply(f"{node.name}/relu", below, Function.RELU)
    return context.affine(node.name, rectified, gain=-1.0, shift=limit)


def _limited(context: Context, node: Any, first: Value, second: Value) -> tuple[Tensor, AnyArray]:
    for a, b in ((first, second), (second, first)):
        if isinstance(a, Tensor) and isinstance(b, _Fixed):
            a, limit = context.aligned(node.name, a, b)
            if not np.all(np.abs(limit) <= _LARGEST_LIMIT):
                raise RefusedError(f"limits a tensor to numbers beyond {_LARGEST_LIMIT:g}")
            return a, limit.astype(np.float32)
    raise _refused(first, second)


def _clip(context: Context, node: Any, values: list[Value]) -> Value:
    return _minimum(context, node, [_maximum(context, node, values[:2]), values[2]])


def _add_all(context: Context, node: Any, values: list[Value]) -> Value:
    total = values[0]
    for item in values[1:]:
        total = _add(context, node, [total, item])
    return total


def _compare(context: Context, node: Any, values: list[Value]) -> Value:
    first, second = values
    if isinstance(first, _Fixed) and isinstance(second, _Fixed):
        return _filled(node.op, first, second)
    made = noise.compare(node, first, second)
    if made is None:
        raise _refused(first, second)
    return made


def _choose(context: Context, node: Any, values: list[Value]) -> Value:
    """The first or the second tensor, where the condition is the same for all elements."""
    condition, first, second = values
    if not isinstance(condition, _Fixed):
        raise _nothing(condition)
    wanted = np.unique(condition.array)
    if wanted.size != 1:
        raise RefusedError("chooses element by element")
    chosen = first if wanted[0] else second
    shapes = [item.shape for item in (condition, first, second) if isinstance(item, (*_Fixed, Tensor))]
    shape = getattr(chosen, "shape", None)
    if len(shapes) != 3 or any(broadcast(item, shape or ()) != shape for item in shapes):
        raise RefusedError("chooses between tensors of other shapes")
    return chosen


def _bias(context: Context, node: Any, values: list[Value]) -> Value:
    tensor, bias = settled(values[0]), values[1]
    if node.attr["data_format"].s == b"NCHW":
        raise RefusedError("has its channels first; a program has them last")
    if not isinstance(tensor, Tensor):
        raise _nothing(tensor)
    if isinstance(bias, (Draw, Spread)):
        return add_bias(context, node, tensor, bias)
    if not isinstance(bias, _Fixed):
        raise _nothing(bias)
    tensor, numbers = context.aligned(node.name, tensor, bias)
    return context.affine(node.name, tensor, shift=numbers)


def _function(context: Context, node: Any, values: list[Value]) -> Value:
    value = values[0]
    if isinstance(value, Filled) and node.op in UNARY:
        with np.errstate(all="ignore"):
            return Filled(np.asarray(UNARY[node.op](value.array)), value.shape)
    made = noise.function(node, value)
    if made is not None:
        return made
    value = settled(value)
    if not isinstance(value, Tensor):
        raise _nothing(value)
    if node.op == "LeakyRelu":
        return context.apply(node.name, value, Function.LEAKY_RELU, float(node.attr["alpha"].f))
    if node.op == "Erfc":
        inner = context.apply(f"{node.name}/erf", value, Function.ERF)
        return context.affine(node.name, inner, gain=-1.0, shift=1.0)
    if node.op not in _FUNCTIONS:
        raise RefusedError("is not an operation that a program has")
    return context.apply(node.name, value, _FUNCTIONS[node.op])


def _negative(context: Context, node: Any, values: list[Value]) -> Value:
    return negated(context, node, values[0])


def _cast(context: Context, node: Any, values: list[Value]) -> Value:
    """Program tensors are float32 throughout: only a cast that rounds or counts is no identity."""
    value, target = values[0], node.attr["DstT"].type
    if isinstance(value, Filled):
        return Filled(as_dtype(value.array, target), value.shape)
    if as_dtype(np.zeros(()), target).dtype.name in {"float32", "float64"} or isinstance(value, (Coin, Seed)):
        return value
    raise RefusedError(f"turns a tensor into numbers of the type {dtype_name(target)}")


_SAME: dict[str, Rule] = dict.fromkeys((*UNARY, *_FUNCTIONS, "LeakyRelu"), _function)

RULES: Rules = {
    **_SAME,
    "Add": _add,
    "AddN": _add_all,
    "AddV2": _add,
    "BiasAdd": _bias,
    "BiasAddV1": _bias,
    "Cast": _cast,
    "ClipByValue": _clip,
    "Div": _divide,
    "DivNoNan": _divide_safely,
    "Greater": _compare,
    "GreaterEqual": _compare,
    "Less": _compare,
    "LessEqual": _compare,
    "Maximum": _maximum,
    "Minimum": _minimum,
    "Mul": _multiply,
    "Neg": _negative,
    "Pow": _power,
    "RealDiv": _divide,
    "Select": _choose,
    "SelectV2": _choose,
    "SquaredDifference": _square_of_difference,
    "Sub": _subtract,
}
"""Elementwise operations on tensors and random numbers."""
