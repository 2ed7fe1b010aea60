"""Shapes of one example, with named axes, and the shape that each operation gives."""

from __future__ import annotations

import math
from collections.abc import Sequence

from bprune.lowering.ops import (
    Activation,
    Add,
    Affine,
    Bias,
    Concat,
    Conv,
    Dense,
    DepthwiseConv,
    Multiply,
    Op,
    Pad,
    Pads,
    Pool,
    Reduce,
    Reshape,
    Select,
    Transpose,
)

__all__ = ["Shape", "ShapeError", "output_shape", "window_positions"]

_AXES = {
    0: (),
    1: ("feature",),
    2: ("length", "channel"),
    3: ("height", "width", "channel"),
    4: ("depth", "height", "width", "channel"),
}


class ShapeError(ValueError):
    """An operation does not fit its inputs."""


class Shape(tuple[int, ...]):
    """The sizes of one example's axes, the example axis left out."""

    @property
    def axes(self) -> tuple[str, ...]:
        """The axes' names: `feature`; `length, channel`; `height, width, channel`; `depth, height, width, channel`."""
        return _AXES.get(len(self), tuple(f"axis {number}" for number in range(len(self))))

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self)

    @property
    def spatial(self) -> tuple[int, ...]:
        """All sizes but the last."""
        return tuple(self[:-1])

    @property
    def units(self) -> int:
        """The size of the last axis; 1 where there is no axis."""
        return self[-1] if self else 1

    def __str__(self) -> str:
        return "[" + ", ".join(f"{name} {size}" for name, size in zip(self.axes, self, strict=True)) + "]"


def window_positions(
    spatial: Sequence[int], window: Sequence[int], strides: Sequence[int], pads: Pads, dilations: Sequence[int]
) -> tuple[int, ...]:
    """How many positions a window takes, per spatial axis.

    Raises:
        ShapeError: If it fits nowhere, or the numbers of axes differ.
    """
    if not len(spatial) == len(window) == len(strides) == len(pads) == len(dilations):
        raise ShapeError(f"a window over {len(window)} axes does not fit {len(spatial)} spatial axes")
    numbers = (*strides, *dilations, *window)
    if min(numbers, default=1) < 1 or min((item for pair in pads for item in pair), default=0) < 0:
        raise ShapeError("windows, strides and dilations are at least 1, pads at least 0")
    positions = []
    for size, extent, stride, (before, after), dilation in zip(spatial, window, strides, pads, dilations, strict=True):
        room = size + before + after - ((extent - 1) * dilation + 1)
        if room < 0:
            raise ShapeError(f"a window of {extent} does not fit an axis of {size}")
        positions.append(room // stride + 1)
    return tuple(positions)


def output_shape(op: Op, inputs: Sequence[Shape]) -> Shape:
    """The shape of what an operation gives.

    Raises:
        ShapeError: If it does not fit its inputs.
    """
    if isinstance(op, (Add, Multiply)):
        return _broadcast(*inputs) if len(inputs) == 2 else _wrong_count(op, inputs)
    if isinstance(op, Concat):
        return _joined(op, inputs)
    if len(inputs) != 1:
        return _wrong_count(op, inputs)
    return _of_one(op, inputs[0])


def _wrong_count(op: Op, inputs: Sequence[Shape]) -> Shape:
    raise ShapeError(f"{type(op).__name__} cannot take {len(inputs)} inputs")


def _of_one(op: Op, shape: Shape) -> Shape:
    if isinstance(op, Dense):
        return _dense(op, shape)
    if isinstance(op, Conv):
        return _conv(op, shape)
    if isinstance(op, DepthwiseConv):
        return _depthwise(op, shape)
    if isinstance(op, Pool):
        ones = (1,) * len(op.window)
        return Shape((*window_positions(shape.spatial, op.window, op.strides, op.pads, ones), shape.units))
    if isinstance(op, Bias):
        _fits("the bias", op.bias.shape, (shape.units,))
        return shape
    if isinstance(op, Affine):
        for item in (op.gain, op.shift):
            if item is not None and _broadcast(Shape(item.shape), shape) != shape:
                raise ShapeError(f"a factor or shift of the shape {item.shape} does not fit {shape}")
        return shape
    if isinstance(op, Activation):
        if not op.function.is_elementwise and not shape:
            raise ShapeError("softmax needs an axis")
        return shape
    return _rearranged(op, shape)


def _rearranged(op: Op, shape: Shape) -> Shape:
    if isinstance(op, Reduce):
        _check_axes(op.axes, shape)
        kept = [
            (1 if axis in op.axes else size) for axis, size in enumerate(shape) if op.keep_axes or axis not in op.axes
        ]
        return Shape(kept)
    if isinstance(op, Reshape):
        if math.prod(op.shape) != shape.size:
            raise ShapeError(f"{shape} has not as many elements as {list(op.shape)}")
        return Shape(op.shape)
    if isinstance(op, Transpose):
        if sorted(op.permutation) != list(range(len(shape))):
            raise ShapeError(f"{op.permutation} is no order of the axes of {shape}")
        return Shape(shape[axis] for axis in op.permutation)
    if isinstance(op, Pad):
        if len(op.pads) != len(shape) or min((item for pair in op.pads for item in pair), default=0) < 0:
            raise ShapeError(f"the pads {op.pads} do not fit {shape}")
        return Shape(size + before + after for size, (before, after) in zip(shape, op.pads, strict=True))
    if isinstance(op, Select):
        if not shape or op.units.ndim != 1 or (op.units.size and not 0 <= op.units.min() <= op.units.max() < shape[-1]):
            raise ShapeError(f"the selected units are not units of {shape}")
        return Shape((*shape.spatial, int(op.units.size)))
    raise ShapeError(f"{type(op).__name__} is not an operation of a program")


def _dense(op: Dense, shape: Shape) -> Shape:
    if not shape or len(op.kernel.shape) != 2:
        raise ShapeError(f"a dense kernel of the shape {op.kernel.shape} does not fit {shape}")
    _fits("the kernel's input", op.kernel.shape[:1], (shape.units + _extra(op.constant, shape),))
    _fits_bias(op.bias, op.kernel.shape[1])
    return Shape((*shape.spatial, op.kernel.shape[1]))


def _conv(op: Conv, shape: Shape) -> Shape:
    axes = len(shape) - 1
    if not 1 <= axes <= 3 or len(op.kernel.shape) != axes + 2:
        raise ShapeError(f"a convolution kernel of the shape {op.kernel.shape} does not fit {shape}")
    _fits("the kernel's input", op.kernel.shape[-2:-1], (shape.units + _extra(op.constant, shape),))
    _fits_bias(op.bias, op.kernel.shape[-1])
    positions = window_positions(shape.spatial, op.kernel.shape[:-2], op.strides, op.pads, op.dilations)
    return Shape((*positions, op.kernel.shape[-1]))


def _depthwise(op: DepthwiseConv, shape: Shape) -> Shape:
    if len(shape) != 3 or len(op.kernel.shape) != 4 or op.kernel.shape[2] != shape.units:
        raise ShapeError(f"a depthwise kernel of the shape {op.kernel.shape} does not fit {shape}")
    units = op.kernel.shape[2] * op.kernel.shape[3]
    _fits_bias(op.bias, units)
    return Shape((*window_positions(shape.spatial, op.kernel.shape[:2], op.strides, op.pads, op.dilations), units))


def _extra(constant: object, shape: Shape) -> int:
    """How many units a constant appends."""
    if constant is None:
        return 0
    sizes: tuple[int, ...] = getattr(constant, "shape", ())
    if len(sizes) != len(shape) or tuple(sizes[:-1]) != shape.spatial:
        raise ShapeError(f"a constant of the shape {sizes} cannot be appended to {shape}")
    return sizes[-1]


def _fits(what: str, sizes: Sequence[int], expected: Sequence[int]) -> None:
    if tuple(sizes) != tuple(expected):
        raise ShapeError(f"{what} has the size {list(sizes)}; it must have {list(expected)}")


def _fits_bias(bias: object, units: int) -> None:
    if bias is not None:
        _fits("the bias", getattr(bias, "shape", ()), (units,))


def _check_axes(axes: Sequence[int], shape: Shape) -> None:
    if not axes or list(axes) != sorted(set(axes)) or axes[0] < 0 or axes[-1] >= len(shape):
        raise ShapeError(f"{tuple(axes)} are not ascending axes of {shape}")


def _broadcast(first: Shape, second: Shape) -> Shape:
    """The shape to which both are stretched where an axis has the length 1 or is missing at the front."""
    rank = max(len(first), len(second))
    sizes = []
    for a, b in zip((1,) * (rank - len(first)) + first, (1,) * (rank - len(second)) + second, strict=True):
        if a != b and 1 not in (a, b):
            raise ShapeError(f"{first} and {second} do not fit together")
        sizes.append(b if a == 1 else a)
    return Shape(sizes)


def _joined(op: Concat, inputs: Sequence[Shape]) -> Shape:
    first = inputs[0]
    if not 0 <= op.axis < len(first):
        raise ShapeError(f"there is no axis {op.axis} in {first}")
    for other in inputs[1:]:
        if len(other) != len(first) or any(
            a != b for i, (a, b) in enumerate(zip(first, other, strict=True)) if i != op.axis
        ):
            raise ShapeError(f"{first} and {other} cannot be joined along axis {op.axis}")
    return Shape((*first[: op.axis], sum(item[op.axis] for item in inputs), *first[op.axis + 1 :]))
