"""Rules for operations that move elements, ask for shapes, or reduce axes."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from bprune.arrays import AnyArray
from bprune.lowering.ops import Concat, Pad, Reduce, Reduction, Transpose
from bprune.lowering.read.arrange import DATA_OPERAND, arranged, axis_of, slice_key, squeezed_axes
from bprune.lowering.read.context import Context, Rules, settled, shape_of
from bprune.lowering.read.sizes import SizeLike, ViewShape, broadcast, product, quotient, row_of, sizes_of
from bprune.lowering.read.values import (
    Coin,
    Draw,
    Filled,
    Known,
    Noise,
    Perturbed,
    RefusedError,
    Scale,
    Signed,
    Spaced,
    SpacedProduct,
    Spread,
    Tensor,
    Value,
    Variance,
)
from bprune.lowering.read.windows import spaced_axis

__all__ = ["RULES"]

_Weights = (Draw, Scale, Spread)
_Layers = (Perturbed, Signed, Variance)


def _shape(context: Context, node: Any, values: list[Value]) -> list[Value]:
    return [Known(row_of(shape_of(item))) for item in values]


def _rank(context: Context, node: Any, values: list[Value]) -> Value:
    return Known(np.asarray(len(shape_of(values[0]))))


def _size(context: Context, node: Any, values: list[Value]) -> Value:
    return Known(row_of((product(shape_of(values[0])),)).reshape(()))


def _zeros(context: Context, node: Any, values: list[Value]) -> Value:
    return Filled(np.asarray(0.0, np.float32), shape_of(values[0]))


def _ones(context: Context, node: Any, values: list[Value]) -> Value:
    return Filled(np.asarray(1.0, np.float32), shape_of(values[0]))


def _fill(context: Context, node: Any, values: list[Value]) -> Value:
    sizes, value = values
    if not isinstance(sizes, Known) or not isinstance(value, Known):
        raise RefusedError("fills a tensor with what is not known")
    return Filled(value.array.reshape(()), sizes_of(sizes.array))


def _rearrange(context: Context, node: Any, values: list[Value]) -> Value | list[Value]:
    """Reshape, Transpose, slices and the like."""
    position = DATA_OPERAND[node.op]
    data = settled(values[position])
    parameters = [*values[:position], *values[position + 1 :]]
    others = [item.array for item in parameters if isinstance(item, Known)]
    if len(others) != len(parameters):
        raise RefusedError("moves elements by what is not known")
    if isinstance(data, _Weights):
        return [replace(data, ids=item) for item in arranged(node, data.ids, others)]
    if isinstance(data, (Spaced, SpacedProduct)):
        return spaced_axis(context, node, data, _added_axis(node, data, others))
    if isinstance(data, Known):
        return _repeated(node, data, others)
    if node.op in _VIEWS:
        return _viewed(context, node, data, _VIEWS[node.op](node, shape_of(data), others))
    if isinstance(data, Tensor):
        return _moved(context, node, data, others)
    raise RefusedError("rearranges random numbers in a way that no layer does")


def _repeated(node: Any, data: Known, others: list[AnyArray]) -> Value:
    """Known numbers, once for every example."""
    sizes = sizes_of(others[0])
    if node.op == "BroadcastTo" and broadcast(data.shape, sizes) == sizes:
        return Filled(data.array, sizes)
    if node.op == "Tile" and len(sizes) == data.array.ndim and data.array.shape[:1] == (1,):
        (row,) = arranged(node, data.array, [row_of((1, *sizes[1:]))])
        return Filled(row, (sizes[0], *row.shape[1:]))
    raise RefusedError("moves elements by what depends on the number of examples")


def _added_axis(node: Any, data: Spaced | SpacedProduct, others: list[AnyArray]) -> int:
    if isinstance(data, Spaced) and node.op == "ExpandDims":
        return axis_of(others[0], len(data.block) + 3)
    if isinstance(data, SpacedProduct) and node.op == "Squeeze":
        axes = list(node.attr["squeeze_dims"].list.i)
        rank = len(data.source.block) + 2 - data.dropped
        return int(axes[0]) % rank if len(axes) == 1 else 0
    raise RefusedError("rearranges interleaved pictures")


def _viewed(context: Context, node: Any, data: Value, shape: ViewShape) -> Value:
    """The same elements in another shape."""
    if isinstance(data, Tensor):
        return context.view(node.name, data, shape)
    if isinstance(data, _Layers):
        if isinstance(data, Signed):
            _check_signs(context, data.tensor, shape)
        return replace(data, tensor=context.view(node.name, data.tensor, shape))
    if isinstance(data, Filled):
        return _refilled(data, shape)
    if isinstance(data, (Coin, Noise)):
        before, after = ([size for size in item if size != 1] for item in (data.shape, shape))
        if before != after:
            raise RefusedError("rearranges random numbers in a way that no layer does")
        return replace(data, shape=shape)
    raise RefusedError("rearranges what is not known")


def _check_signs(context: Context, tensor: Tensor, shape: ViewShape) -> None:
    """Signs belong to channels: these must stay, or become the inputs of one dense layer."""
    before, after = context.layout(tensor.shape), context.layout(shape)
    if before.rest[-1:] != after.rest[-1:] and not (len(after.rest) == 1 and after.merged == 1):
        raise RefusedError("rearranges the inputs of a layer behind their random signs")


def _refilled(data: Filled, shape: ViewShape) -> Value:
    if product(shape) != product(data.shape):
        raise RefusedError("changes the number of elements")
    if data.array.size != 1:
        raise RefusedError("rearranges numbers that differ along an axis")
    return Filled(data.array.reshape(()), shape)


def _reshaped(node: Any, shape: ViewShape, others: list[AnyArray]) -> ViewShape:
    target = list(sizes_of(others[0]))
    open_axes = [axis for axis, size in enumerate(target) if size == -1]
    if len(open_axes) == 1:
        rest = product(size for size in target if size != -1)
        target[open_axes[0]] = quotient(product(shape), rest)
    if product(target) != product(shape):
        raise RefusedError("changes the number of elements")
    return tuple(target)


def _expanded(node: Any, shape: ViewShape, others: list[AnyArray]) -> ViewShape:
    axis = axis_of(others[0], len(shape) + 1)
    return (*shape[:axis], 1, *shape[axis:])


def _squeezed(node: Any, shape: ViewShape, others: list[AnyArray]) -> ViewShape:
    axes = squeezed_axes(node, shape)
    return tuple(size for axis, size in enumerate(shape) if axis not in axes)


_VIEWS: dict[str, Callable[[Any, ViewShape, list[AnyArray]], ViewShape]] = {
    "ExpandDims": _expanded,
    "Reshape": _reshaped,
    "Squeeze": _squeezed,
}


def _moved(context: Context, node: Any, tensor: Tensor, others: list[AnyArray]) -> Value | list[Value]:
    """Elements of a tensor in another order, or some of them."""
    if node.op == "Transpose":
        return _transposed(context, node, tensor, [int(item) for item in sizes_of(others[0])])
    if node.op == "BroadcastTo":
        return context.stretched(node.name, tensor, sizes_of(others[0]))
    shape = context.per_example(tensor)
    numbers = np.arange(math.prod(shape)).reshape(1, *shape)
    results = _CHOICES[node.op](context, node, numbers, others) if node.op in _CHOICES else None
    if results is None:
        raise RefusedError("is not an operation that a program has")
    made: list[Value] = []
    for count, item in enumerate(results):
        name = node.name if len(results) == 1 else f"{node.name}/{count}"
        chosen = context.builder.select(name, tensor.name, item[0])
        made.append(Tensor(chosen, (context.examples, *item.shape[1:])))
    return made


def _transposed(context: Context, node: Any, tensor: Tensor, order: list[int]) -> Value:
    if order == list(range(len(order))):
        return tensor
    context.per_example(tensor)
    if sorted(order) != list(range(len(tensor.shape))) or order[0] != 0:
        raise RefusedError("moves the examples away from the first axis")
    permutation = tuple(axis - 1 for axis in order[1:])
    name = context.builder.add(Transpose(node.name, (tensor.name,), permutation))
    return Tensor(name, (context.examples, *context.builder.shapes[name]))


def _chosen_axis(array: AnyArray, rank: int) -> int:
    axis = axis_of(array, rank)
    if axis == 0:
        raise RefusedError("takes examples apart")
    return axis


def _all_of(item: Any, examples: SizeLike) -> bool:
    """Whether a slice takes all examples."""
    return (
        isinstance(item, slice)
        and item.step in (None, 1)
        and (item.start is None or item.start == 0)
        and (item.stop is None or item.stop == examples)
    )


def _strided(context: Context, node: Any, numbers: AnyArray, others: list[AnyArray]) -> list[AnyArray]:
    key = slice_key(node, others[0], others[1], others[2], numbers.ndim)
    if not _all_of(key[0], context.examples):
        raise RefusedError("takes examples apart")
    return [np.asarray(numbers[(slice(None), *key[1:])])]


def _sliced(context: Context, node: Any, numbers: AnyArray, others: list[AnyArray]) -> list[AnyArray]:
    begin, size = (list(sizes_of(item)) for item in others)
    if not begin or begin[0] != 0 or (size[0] != -1 and size[0] != context.examples):
        raise RefusedError("takes examples apart")
    return arranged(node, numbers, [row_of(tuple(begin)), row_of((-1, *size[1:]))])


def _split(context: Context, node: Any, numbers: AnyArray, others: list[AnyArray]) -> list[AnyArray]:
    _chosen_axis(others[-1], numbers.ndim)
    return arranged(node, numbers, others)


def _gathered(context: Context, node: Any, numbers: AnyArray, others: list[AnyArray]) -> list[AnyArray]:
    if len(others) < 2:
        raise RefusedError("takes examples apart")
    _chosen_axis(others[1], numbers.ndim)
    return arranged(node, numbers, others)


def _unpacked(context: Context, node: Any, numbers: AnyArray, others: list[AnyArray]) -> list[AnyArray]:
    _chosen_axis(np.asarray(int(node.attr["axis"].i)), numbers.ndim)
    return arranged(node, numbers, others)


def _reversed(context: Context, node: Any, numbers: AnyArray, others: list[AnyArray]) -> list[AnyArray]:
    for item in np.atleast_1d(others[0]):
        _chosen_axis(np.asarray(item), numbers.ndim)
    return arranged(node, numbers, others)


def _tiled(context: Context, node: Any, numbers: AnyArray, others: list[AnyArray]) -> list[AnyArray]:
    if sizes_of(others[0])[:1] != (1,):
        raise RefusedError("repeats examples")
    return arranged(node, numbers, others)


_CHOICES: dict[str, Callable[[Context, Any, AnyArray, list[AnyArray]], list[AnyArray]]] = {
    "Gather": _gathered,
    "GatherV2": _gathered,
    "ReverseV2": _reversed,
    "Slice": _sliced,
    "Split": _split,
    "SplitV": _split,
    "StridedSlice": _strided,
    "Tile": _tiled,
    "Unpack": _unpacked,
}


def _joined(context: Context, node: Any, values: list[Value]) -> Value:
    parts, axis = (values[1:], values[0]) if node.op == "Concat" else (values[:-1], values[-1])
    if not isinstance(axis, Known):
        raise RefusedError("joins tensors along an axis that is not known")
    tensors = _tensors(context, node, parts)
    ranks = {len(context.per_example(item)) for item in tensors}
    if len(ranks) != 1:
        raise RefusedError("joins tensors of different ranks")
    where = _chosen_axis(axis.array, ranks.pop() + 1)
    if len(tensors) == 1:
        return tensors[0]
    name = context.builder.add(Concat(node.name, tuple(item.name for item in tensors), where - 1))
    return Tensor(name, (context.examples, *context.builder.shapes[name]))


def _tensors(context: Context, node: Any, values: list[Value]) -> list[Tensor]:
    """Values as tensors of the program; numbers that are the same for every example become one.

    Raises:
        RefusedError: If one of them is something else.
    """
    values = [settled(item) for item in values]
    other = next((item for item in values if isinstance(item, Tensor)), None)
    tensors = []
    for count, item in enumerate(values):
        if isinstance(item, (Filled, Known)) and other is not None:
            item = context.fixed(f"{node.name}/part_{count}", item, other)
        if not isinstance(item, Tensor):
            raise RefusedError("joins tensors with what is none")
        tensors.append(item)
    return tensors


def _packed(context: Context, node: Any, values: list[Value]) -> Value:
    """Tensors side by side along a new axis."""
    rank = len(shape_of(values[0])) + 1
    axis = Known(np.asarray(int(node.attr["axis"].i) % rank))
    parts: list[Value] = []
    for count, item in enumerate(_tensors(context, node, values)):
        where = int(axis.array)
        shape = (*item.shape[:where], 1, *item.shape[where:])
        parts.append(context.view(f"{node.name}/part_{count}", item, shape))
    return _joined(context, node, [*parts, axis] if node.op != "Concat" else [axis, *parts])


def _padded(context: Context, node: Any, values: list[Value]) -> Value:
    tensor, pads = settled(values[0]), values[1]
    fill = values[2] if len(values) > 2 else Known(np.zeros(()))
    if not isinstance(fill, Known) or np.any(fill.array):
        raise RefusedError("pads with numbers other than 0")
    if not isinstance(tensor, Tensor) or not isinstance(pads, Known):
        raise RefusedError("pads what is no tensor of the program")
    rank = len(context.per_example(tensor)) + 1
    if pads.array.shape != (rank, 2) or np.any(pads.array[0]):
        raise RefusedError("adds examples")
    sizes = tuple((int(before), int(after)) for before, after in pads.array[1:])
    if not any(item for pair in sizes for item in pair):
        return tensor
    name = context.builder.add(Pad(node.name, (tensor.name,), sizes))
    return Tensor(name, (context.examples, *context.builder.shapes[name]))


def _mirrored(context: Context, node: Any, values: list[Value]) -> Value:
    raise RefusedError("pads with mirrored elements; a program pads with zeros")


_REDUCTIONS = {"Max": Reduction.MAX, "Mean": Reduction.MEAN, "Sum": Reduction.SUM}


def _reduced(context: Context, node: Any, values: list[Value]) -> Value:
    tensor, axes = settled(values[0]), values[1]
    if not isinstance(tensor, Tensor) or not isinstance(axes, Known):
        raise RefusedError("reduces what is no tensor of the program")
    shape = context.per_example(tensor)
    chosen = {axis_of(np.asarray(item), len(shape) + 1) for item in np.atleast_1d(axes.array)}
    if not chosen:
        return tensor
    if 0 in chosen:
        raise RefusedError("reduces the axis of the examples")
    keep = bool(node.attr["keep_dims"].b)
    where = tuple(axis - 1 for axis in sorted(chosen))
    name = context.builder.add(Reduce(node.name, (tensor.name,), _REDUCTIONS[node.op], where, keep))
    return Tensor(name, (context.examples, *context.builder.shapes[name]))


RULES: Rules = {
    **dict.fromkeys(DATA_OPERAND, _rearrange),
    "Concat": _joined,
    "ConcatV2": _joined,
    "Fill": _fill,
    "Max": _reduced,
    "Mean": _reduced,
    "MirrorPad": _mirrored,
    "OnesLike": _ones,
    "Pack": _packed,
    "Pad": _padded,
    "PadV2": _padded,
    "Rank": _rank,
    "Shape": _shape,
    "ShapeN": _shape,
    "Size": _size,
    "Sum": _reduced,
    "ZerosLike": _zeros,
}
"""Operations on shapes and the order of elements."""
