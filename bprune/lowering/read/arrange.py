"""Operations that only move elements, on NumPy arrays: of constants, and of the element numbers of sampled weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from bprune.arrays import AnyArray
from bprune.lowering.read.sizes import SizeLike, ViewShape, sizes_of

__all__ = ["DATA_OPERAND", "LIMIT_ELEMENTS", "arranged", "axis_of", "check_count", "slice_key", "squeezed_axes"]

LIMIT_ELEMENTS = 1 << 26
"""A constant with more elements is not made: a graph of a few bytes may ask for any number."""

Arrange = Callable[[Any, AnyArray, Sequence[AnyArray]], "list[AnyArray]"]


def arranged(node: Any, data: AnyArray, others: Sequence[AnyArray]) -> list[AnyArray]:
    """Apply an operation that moves elements.

    Args:
        node: The NodeDef; one of `DATA_OPERAND`.
        data: What is moved.
        others: The other operands, in order.

    Returns:
        The outputs.

    Raises:
        ValueError, IndexError, TypeError: If operation and operands do not fit, or the result is too large.
    """
    return _OPERATIONS[node.op](node, data, others)


def check_count(shape: Sequence[int]) -> None:
    """Refuse what would not fit in memory.

    Raises:
        ValueError: If there are too many elements, or a size is negative.
    """
    if min(shape, default=0) < 0 or math.prod(shape) > LIMIT_ELEMENTS or len(shape) > 32:
        raise ValueError(f"a constant of the shape {list(shape)} is too large")


def axis_of(array: AnyArray, rank: int) -> int:
    """A scalar operand as an axis from 0.

    Raises:
        ValueError: If there is no such axis.
    """
    if array.size != 1 or array.dtype.kind not in "iu":
        raise ValueError("an axis is one integer")
    axis = int(array.reshape(()))
    if not -rank <= axis < rank:
        raise ValueError(f"there is no axis {axis} among {rank}")
    return axis % rank


def squeezed_axes(node: Any, shape: Sequence[SizeLike]) -> tuple[int, ...]:
    """The axes that a Squeeze drops.

    Raises:
        ValueError: If one of them has not the length 1.
    """
    stated = node.attr["squeeze_dims"].list.i or node.attr["axis"].list.i
    if not stated:
        return tuple(axis for axis, size in enumerate(shape) if size == 1)
    axes = tuple(axis_of(np.asarray(item), len(shape)) for item in stated)
    if any(shape[axis] != 1 for axis in axes):
        raise ValueError(f"the axes {axes} have not the length 1")
    return axes


def slice_key(node: Any, begin: AnyArray, end: AnyArray, strides: AnyArray, rank: int) -> list[Any]:
    """The NumPy key of a StridedSlice: a slice or an int per axis, None where an axis is added.

    Bounds that depend on the number of examples stay in the slices as they are.

    Raises:
        ValueError: If the operands do not fit together.
    """
    bounds = [sizes_of(item) for item in (begin, end, strides)]
    if not len(bounds[0]) == len(bounds[1]) == len(bounds[2]):
        raise ValueError("begin, end and strides differ in length")
    masks = {name: int(node.attr[f"{name}_mask"].i) for name in ("begin", "end", "ellipsis", "new_axis", "shrink_axis")}
    key: list[Any] = []
    rest: list[Any] | None = None  # what stands behind the ellipsis
    for position, (first, last, step) in enumerate(zip(*bounds, strict=True)):
        bit = 1 << position
        part = key if rest is None else rest
        if masks["ellipsis"] & bit:
            rest = []
        elif masks["new_axis"] & bit:
            part.append(None)
        elif masks["shrink_axis"] & bit:
            part.append(first)
        else:
            start = None if masks["begin"] & bit else first
            part.append(slice(start, None if masks["end"] & bit else last, step))
    used = sum(item is not None for item in [*key, *(rest or [])])
    if used > rank:
        raise ValueError(f"a slice of {used} axes is taken of {rank}")
    return [*key, *[slice(None)] * (rank - used), *(rest or [])]


def _reshape(node: Any, data: AnyArray, others: Sequence[AnyArray]) -> list[AnyArray]:
    return [data.reshape(_whole(sizes_of(others[0])))]


def _whole(sizes: ViewShape) -> tuple[int, ...]:
    return tuple(int(size) for size in sizes)


def _expand(node: Any, data: AnyArray, others: Sequence[AnyArray]) -> list[AnyArray]:
    return [np.expand_dims(data, axis_of(others[0], data.ndim + 1))]


def _squeeze(node: Any, data: AnyArray, others: Sequence[AnyArray]) -> list[AnyArray]:
    return [np.squeeze(data, squeezed_axes(node, data.shape))]


def _transpose(node: Any, data: AnyArray, others: Sequence[AnyArray]) -> list[AnyArray]:
    return [np.transpose(data, _whole(sizes_of(others[0])))]


def _strided_slice(node: Any, data: AnyArray, others: Sequence[AnyArray]) -> list[AnyArray]:
    key = slice_key(node, others[0], others[1], others[2], data.ndim)
    return [np.asarray(data[tuple(key)], data.dtype)]


def _slice(node: Any, data: AnyArray, others: Sequence[AnyArray]) -> list[AnyArray]:
    begin, size = (_whole(sizes_of(item)) for item in others)
    if not len(begin) == len(size) == data.ndim:
        raise ValueError("a slice has one begin and one size per axis")
    for first, count, room in zip(begin, size, data.shape, strict=True):
        if first < 0 or (count != -1 and (count < 0 or first + count > room)):
            raise ValueError("a slice reaches out of its tensor")
    return [data[tuple(slice(a, None if n == -1 else a + n) for a, n in zip(begin, size, strict=True))]]


def _split(node: Any, data: AnyArray, others: Sequence[AnyArray]) -> list[AnyArray]:
    return np.split(data, int(node.attr["num_split"].i), axis_of(others[0], data.ndim))


def _split_sizes(node: Any, data: AnyArray, others: Sequence[AnyArray]) -> list[AnyArray]:
    axis = axis_of(others[1], data.ndim)
    sizes = list(_whole(sizes_of(others[0])))
    if sizes.count(-1) == 1:
        sizes[sizes.index(-1)] = data.shape[axis] - sum(sizes) - 1
    if min(sizes, default=-1) < 0 or sum(sizes) != data.shape[axis]:
        raise ValueError(f"the sizes {sizes} do not split {data.shape[axis]}")
    return np.split(data, np.cumsum(sizes)[:-1], axis)


def _unpack(node: Any, data: AnyArray, others: Sequence[AnyArray]) -> list[AnyArray]:
    axis = axis_of(np.asarray(int(node.attr["axis"].i)), data.ndim)
    if int(node.attr["num"].i) != data.shape[axis]:
        raise ValueError("an axis is unpacked into another number of parts")
    return list(np.moveaxis(data, axis, 0))


def _gather(node: Any, data: AnyArray, others: Sequence[AnyArray]) -> list[AnyArray]:
    if node.attr["batch_dims"].i:
        raise ValueError("it gathers in batches")
    axis = axis_of(others[1], data.ndim) if len(others) > 1 else 0
    indices = others[0]
    if indices.dtype.kind not in "iu" or np.any(indices < 0):
        raise ValueError("indices are integers, at least 0")
    check_count((*data.shape[:axis], *indices.shape, *data.shape[axis + 1 :]))
    return [np.take(data, indices, axis)]


def _reverse(node: Any, data: AnyArray, others: Sequence[AnyArray]) -> list[AnyArray]:
    return [np.flip(data, _whole(sizes_of(others[0])))]


def _tile(node: Any, data: AnyArray, others: Sequence[AnyArray]) -> list[AnyArray]:
    repeats = _whole(sizes_of(others[0]))
    if len(repeats) != data.ndim:
        raise ValueError("a tile has one number per axis")
    check_count([size * count for size, count in zip(data.shape, repeats, strict=True)])
    return [np.tile(data, repeats)]


def _broadcast_to(node: Any, data: AnyArray, others: Sequence[AnyArray]) -> list[AnyArray]:
    shape = _whole(sizes_of(others[0]))
    check_count(shape)
    return [np.broadcast_to(data, shape)]


_OPERATIONS: dict[str, Arrange] = {
    "BroadcastTo": _broadcast_to,
    "ExpandDims": _expand,
    "Gather": _gather,
    "GatherV2": _gather,
    "Reshape": _reshape,
    "ReverseV2": _reverse,
    "Slice": _slice,
    "Split": _split,
    "SplitV": _split_sizes,
    "Squeeze": _squeeze,
    "StridedSlice": _strided_slice,
    "Tile": _tile,
    "Transpose": _transpose,
    "Unpack": _unpack,
}

DATA_OPERAND: Mapping[str, int] = {name: 1 if name == "Split" else 0 for name in _OPERATIONS}
"""Which operand of each operation is moved; the others say how."""
