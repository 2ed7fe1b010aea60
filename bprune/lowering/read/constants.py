"""Constant arithmetic in NumPy: what the graph computes of constants and variables alone, and of shapes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from scipy import special

from bprune.arrays import AnyArray
from bprune.case.nodes import dtype_name
from bprune.lowering.read.arrange import DATA_OPERAND, arranged, axis_of, check_count
from bprune.lowering.read.sizes import Size, SizeLike, broadcast, row_of, sizes_of, tidy

__all__ = ["BINARY", "UNARY", "as_dtype", "cost", "evaluate", "is_constant_operation"]

Unary = Callable[[AnyArray], AnyArray]
Binary = Callable[[AnyArray, AnyArray], AnyArray]
Evaluate = Callable[[Any, Sequence[AnyArray]], "list[AnyArray]"]

_PRODUCTS_PER_ELEMENT = 16  # a sum of so many products takes as long as making an element
_LARGEST_SHAPE = 4096
_SELU_ALPHA, _SELU_SCALE = 1.6732632423543772, 1.0507009873554805


def is_constant_operation(op: str) -> bool:
    """Whether an operation can be evaluated when all its operands are known."""
    return op in UNARY or op in BINARY or op in DATA_OPERAND or op in _OTHERS


def evaluate(node: Any, operands: Sequence[AnyArray]) -> list[AnyArray]:
    """Evaluate an operation.

    Args:
        node: The NodeDef; its operation is one for which `is_constant_operation` holds.
        operands: The operands' values. Sizes that depend on the number of examples are objects in them.

    Returns:
        The outputs' values.

    Raises:
        ValueError, IndexError, TypeError, KeyError, ArithmeticError: If it cannot be evaluated.
    """
    if any(item.dtype == object and item.size > _LARGEST_SHAPE for item in operands):
        raise ValueError("computes with too many sizes")
    with np.errstate(all="ignore"):
        if node.op in UNARY:
            return [_typed(UNARY[node.op](operands[0]), operands[0])]
        if node.op in BINARY:
            first, second = operands
            shape = [_number(size) for size in broadcast(first.shape, second.shape)]
            if math.prod(shape) > max(first.size, second.size):
                check_count(shape)
            return [tidy(np.asarray(BINARY[node.op](first, second)))]
        if node.op in DATA_OPERAND:
            position = DATA_OPERAND[node.op]
            others = [*operands[:position], *operands[position + 1 :]]
            return [tidy(item) for item in arranged(node, operands[position], others)]
        return [tidy(item) for item in _OTHERS[node.op](node, operands)]


def cost(node: Any, operands: Sequence[AnyArray], results: Sequence[AnyArray]) -> int:
    """How much work an evaluation was, in elements that were made."""
    elements = sum(item.size for item in results)
    inner = operands[0].shape[-1] if "MatMul" in node.op and operands[0].ndim else 1
    return elements * max(inner // _PRODUCTS_PER_ELEMENT, 1)


def as_dtype(array: AnyArray, number: int) -> AnyArray:
    """Values of another type; symbolic sizes stay what they are.

    Raises:
        ValueError: If the type is none of numbers.
    """
    name = dtype_name(number)
    if array.dtype == object:
        return array
    if name in {"string", "resource", "variant"}:
        raise ValueError(f"makes the type {name}")
    return array.astype(np.dtype(name))


def _typed(result: AnyArray, operand: AnyArray) -> AnyArray:
    """Some of SciPy's functions give float64 for float32; TensorFlow's keep the type."""
    if result.dtype.kind == "f" and operand.dtype.kind == "f":
        return np.asarray(result, operand.dtype)
    return np.asarray(result)


def _number(size: SizeLike) -> int:
    return int(size)


def _relation(relation: Binary) -> Binary:
    """A comparison; of sizes it has an answer only where they are the same."""

    def compare(first: AnyArray, second: AnyArray) -> AnyArray:
        if object not in (first.dtype, second.dtype):
            return relation(first, second)
        a, b = np.broadcast_arrays(first, second)
        pairs = list(zip(a.reshape(-1), b.reshape(-1), strict=True))
        if any((isinstance(x, Size) or isinstance(y, Size)) and x != y for x, y in pairs):
            raise ValueError("compares sizes that depend on the number of examples")
        plain = [[0 if isinstance(item, Size) else item for item in pair] for pair in pairs]
        columns = np.asarray(plain, np.int64).reshape(-1, 2).T
        return np.asarray(relation(columns[0], columns[1])).reshape(a.shape)

    return compare


def _floor_divide(first: AnyArray, second: AnyArray) -> AnyArray:
    if second.dtype.kind in "iu" and not np.all(second):
        raise ZeroDivisionError("divides by zero")
    return first // second


def _floor_mod(first: AnyArray, second: AnyArray) -> AnyArray:
    if second.dtype.kind in "iu" and not np.all(second):
        raise ZeroDivisionError("divides by zero")
    return first % second


def _divide(first: AnyArray, second: AnyArray) -> AnyArray:
    """`Div` of integers rounds towards zero, and is left to TensorFlow where that matters."""
    if first.dtype == object or second.dtype == object or first.dtype.kind in "iu":
        if first.dtype != object and second.dtype != object and (np.any(first < 0) or np.any(second < 0)):
            raise ValueError("divides negative integers")
        return _floor_divide(first, second)
    return first / second


def _power(first: AnyArray, second: AnyArray) -> AnyArray:
    if first.dtype.kind in "iu" and np.any(second < 0):
        raise ValueError("raises an integer to a negative power")
    return np.power(first, second)


UNARY: dict[str, Unary] = {
    "Abs": np.abs,
    "Ceil": np.ceil,
    "Cos": np.cos,
    "Cosh": np.cosh,
    "Elu": lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))),
    "Erf": special.erf,
    "Erfc": special.erfc,
    "Exp": np.exp,
    "Expm1": np.expm1,
    "Floor": np.floor,
    "Inv": lambda x: 1 / x,
    "IsFinite": np.isfinite,
    "IsInf": np.isinf,
    "IsNan": np.isnan,
    "Lgamma": special.gammaln,
    "Log": np.log,
    "Log1p": np.log1p,
    "LogicalNot": np.logical_not,
    "Neg": lambda x: -x,
    "Ndtri": special.ndtri,
    "Reciprocal": lambda x: 1 / x,
    "Relu": lambda x: np.maximum(x, 0),
    "Relu6": lambda x: np.clip(x, 0, 6),
    "Rint": np.rint,
    "Round": np.rint,
    "Rsqrt": lambda x: 1 / np.sqrt(x),
    "Selu": lambda x: _SELU_SCALE * np.where(x > 0, x, _SELU_ALPHA * np.expm1(np.minimum(x, 0))),
    "Sigmoid": special.expit,
    "Sign": np.sign,
    "Sin": np.sin,
    "Sinh": np.sinh,
    "Softplus": lambda x: np.logaddexp(x, np.zeros((), x.dtype)),
    "Softsign": lambda x: x / (1 + np.abs(x)),
    "Sqrt": np.sqrt,
    "Square": lambda x: x * x,
    "Tan": np.tan,
    "Tanh": np.tanh,
}
"""Functions of one operand, elementwise."""

BINARY: dict[str, Binary] = {
    "Add": lambda x, y: x + y,
    "AddV2": lambda x, y: x + y,
    "Div": _divide,
    "DivNoNan": lambda x, y: np.where(y == 0, 0, x / np.where(y == 0, 1, y)).astype(x.dtype),
    "Equal": _relation(lambda x, y: np.equal(x, y)),
    "FloorDiv": _floor_divide,
    "FloorMod": _floor_mod,
    "Greater": _relation(lambda x, y: np.greater(x, y)),
    "GreaterEqual": _relation(lambda x, y: np.greater_equal(x, y)),
    "Less": _relation(lambda x, y: np.less(x, y)),
    "LessEqual": _relation(lambda x, y: np.less_equal(x, y)),
    "LogicalAnd": np.logical_and,
    "LogicalOr": np.logical_or,
    "Maximum": _relation(np.maximum),
    "Minimum": _relation(np.minimum),
    "Mul": lambda x, y: x * y,
    "NotEqual": _relation(lambda x, y: np.not_equal(x, y)),
    "Pow": _power,
    "RealDiv": lambda x, y: x / y,
    "SquaredDifference": lambda x, y: (x - y) * (x - y),
    "Sub": lambda x, y: x - y,
}
"""Functions of two operands, elementwise with broadcasting."""


def _axes(node: Any, operands: Sequence[AnyArray]) -> tuple[tuple[int, ...], bool]:
    rank = operands[0].ndim
    axes = {axis_of(np.asarray(item), rank) for item in np.atleast_1d(operands[1])} if operands[1].size else set()
    return tuple(sorted(axes)), bool(node.attr["keep_dims"].b)


def _reduction(function: Callable[..., Any]) -> Evaluate:
    def reduce(node: Any, operands: Sequence[AnyArray]) -> list[AnyArray]:
        axes, keep = _axes(node, operands)
        result = np.asarray(function(operands[0], axis=axes, keepdims=keep))
        same = operands[0].dtype != object and result.dtype.kind == operands[0].dtype.kind
        return [result.astype(operands[0].dtype) if same else result]

    return reduce


def _add_all(node: Any, operands: Sequence[AnyArray]) -> list[AnyArray]:
    total = operands[0]
    for item in operands[1:]:
        total = total + item
    return [np.asarray(total)]


def _broadcast_arguments(node: Any, operands: Sequence[AnyArray]) -> list[AnyArray]:
    return [row_of(broadcast(sizes_of(operands[0]), sizes_of(operands[1])))]


def _concatenate(node: Any, operands: Sequence[AnyArray]) -> list[AnyArray]:
    parts, axis = (operands[1:], operands[0]) if node.op == "Concat" else (operands[:-1], operands[-1])
    return [np.concatenate(parts, axis_of(axis, parts[0].ndim))]


def _pack(node: Any, operands: Sequence[AnyArray]) -> list[AnyArray]:
    return [np.stack(operands, int(node.attr["axis"].i))]


def _fill(node: Any, operands: Sequence[AnyArray]) -> list[AnyArray]:
    shape = [_number(size) for size in sizes_of(operands[0])]
    check_count(shape)
    return [np.full(shape, operands[1].reshape(()), operands[1].dtype)]


def _range(node: Any, operands: Sequence[AnyArray]) -> list[AnyArray]:
    start, stop, step = (item.reshape(()).item() for item in operands)
    if not step or not np.isfinite((stop - start) / step):
        raise ValueError("a range has a step other than 0")
    check_count([max(math.ceil((stop - start) / step), 0)])
    return [np.arange(start, stop, step, dtype=operands[0].dtype)]


def _one_hot(node: Any, operands: Sequence[AnyArray]) -> list[AnyArray]:
    indices, depth = operands[0], int(operands[1].reshape(()))
    check_count([*indices.shape, depth])
    if int(node.attr["axis"].i) != -1:
        raise ValueError("its axis is not the last")
    hot = indices[..., None] == np.arange(depth)
    return [np.where(hot, operands[2], operands[3])]


def _product_of_matrices(node: Any, operands: Sequence[AnyArray]) -> list[AnyArray]:
    first, second = operands
    flags = ("transpose_a", "transpose_b") if node.op == "MatMul" else ("adj_x", "adj_y")
    first, second = (
        np.swapaxes(item, -1, -2) if node.attr[flag].b else item
        for item, flag in zip((first, second), flags, strict=True)
    )
    leading = np.broadcast_shapes(first.shape[:-2], second.shape[:-2])
    check_count([*leading, first.shape[-2], second.shape[-1]])
    return [np.matmul(first, second)]


def _add_bias(node: Any, operands: Sequence[AnyArray]) -> list[AnyArray]:
    if node.attr["data_format"].s == b"NCHW":
        raise ValueError("has its channels first")
    return [operands[0] + operands[1]]


def _select(node: Any, operands: Sequence[AnyArray]) -> list[AnyArray]:
    condition = operands[0]
    if node.op == "Select" and condition.ndim == 1 and operands[1].ndim > 1:
        condition = condition.reshape(-1, *[1] * (operands[1].ndim - 1))
    check_count(np.broadcast_shapes(condition.shape, operands[1].shape, operands[2].shape))
    return [np.where(condition, operands[1], operands[2])]


def _pad(node: Any, operands: Sequence[AnyArray]) -> list[AnyArray]:
    pads = np.asarray(operands[1], np.int64)
    check_count([size + int(pair.sum()) for size, pair in zip(operands[0].shape, pads, strict=True)])
    value = operands[2].reshape(()) if len(operands) > 2 else 0
    return [np.pad(operands[0], pads, constant_values=value)]


def _shape(node: Any, operands: Sequence[AnyArray]) -> list[AnyArray]:
    return [np.asarray(item.shape, np.int64) for item in operands]


_OTHERS: dict[str, Evaluate] = {
    "AddN": _add_all,
    "All": _reduction(np.all),
    "Any": _reduction(np.any),
    "ArgMax": lambda node, operands: [np.argmax(operands[0], axis_of(operands[1], operands[0].ndim))],
    "BatchMatMul": _product_of_matrices,
    "BatchMatMulV2": _product_of_matrices,
    "BatchMatMulV3": _product_of_matrices,
    "BiasAdd": _add_bias,
    "BiasAddV1": _add_bias,
    "BroadcastArgs": _broadcast_arguments,
    "Cast": lambda node, operands: [as_dtype(operands[0], node.attr["DstT"].type)],
    "ClipByValue": lambda node, operands: [np.clip(*operands)],
    "Concat": _concatenate,
    "ConcatV2": _concatenate,
    "Cumsum": lambda node, operands: [np.cumsum(operands[0], axis_of(operands[1], operands[0].ndim))],
    "Fill": _fill,
    "InvertPermutation": lambda node, operands: [np.argsort(operands[0])],
    "MatMul": _product_of_matrices,
    "Max": _reduction(np.max),
    "Mean": _reduction(np.mean),
    "Min": _reduction(np.min),
    "OneHot": _one_hot,
    "OnesLike": lambda node, operands: [np.ones_like(operands[0])],
    "Pack": _pack,
    "Pad": _pad,
    "PadV2": _pad,
    "Prod": _reduction(np.multiply.reduce),
    "Range": _range,
    "Rank": lambda node, operands: [np.asarray(operands[0].ndim)],
    "Select": _select,
    "SelectV2": _select,
    "Shape": _shape,
    "ShapeN": _shape,
    "Size": lambda node, operands: [np.asarray(operands[0].size)],
    "Sum": _reduction(np.sum),
    "ZerosLike": lambda node, operands: [np.zeros_like(operands[0])],
}
