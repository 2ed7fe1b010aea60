"""Rules for operations with windows: convolutions and pooling."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bprune.arrays import AnyArray
from bprune.lowering.ops import Conv, DepthwiseConv, Pads, Pool, Pooling
from bprune.lowering.read.context import Context, Rules, settled
from bprune.lowering.read.products import multiply
from bprune.lowering.read.sizes import ViewShape, sizes_of
from bprune.lowering.read.values import (
    Known,
    RefusedError,
    Signed,
    Spaced,
    SpacedProduct,
    Tensor,
    Value,
)
from bprune.lowering.shapes import window_positions
from bprune.lowering.weights import Weights

__all__ = ["RULES", "spaced_axis"]

_CHANNELS_LAST = {b"NHWC", b"NDHWC", b"NWC", b""}


@dataclass(frozen=True)
class Window:
    """How a window moves, as the graph states it.

    Attributes:
        strides: Per spatial axis.
        dilations: Per spatial axis.
        padding: `SAME`, `VALID` or `EXPLICIT`.
        explicit: The pads of `EXPLICIT`, per spatial axis.
    """

    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    padding: str
    explicit: Pads = ()

    def pads(self, spatial: tuple[int, ...], extents: tuple[int, ...]) -> Pads:
        """Zeros per spatial axis.

        Args:
            spatial: The picture.
            extents: The window.
        """
        if self.padding == "EXPLICIT":
            return self.explicit
        if self.padding == "VALID":
            return ((0, 0),) * len(spatial)
        pads = []
        for size, extent, stride, dilation in zip(spatial, extents, self.strides, self.dilations, strict=True):
            reach = (extent - 1) * dilation + 1
            total = max((-(-size // stride) - 1) * stride + reach - size, 0)
            pads.append((total // 2, total - total // 2))
        return tuple(pads)


def _window(node: Any, axes: int) -> Window:
    """Read strides, dilations and padding.

    Raises:
        RefusedError: If channels do not come last, or the window moves over examples or channels.
    """
    if node.attr["data_format"].s not in _CHANNELS_LAST:
        raise RefusedError("has its channels first; a program has them last")
    padding = node.attr["padding"].s.decode("ascii", "replace")
    explicit = list(node.attr["explicit_paddings"].list.i)
    pads: Pads = ()
    if padding == "EXPLICIT":
        pairs = tuple(zip(explicit[::2], explicit[1::2], strict=True))
        if len(pairs) != axes + 2 or any(item for pair in (pairs[0], pairs[-1]) for item in pair):
            raise RefusedError("pads examples or channels")
        pads = tuple((int(a), int(b)) for a, b in pairs[1:-1])
    elif padding not in {"SAME", "VALID"}:
        raise RefusedError(f"has the padding {padding!r}")
    strides = _spatial(list(node.attr["strides"].list.i), axes)
    return Window(strides, _spatial(list(node.attr["dilations"].list.i) or [1] * (axes + 2), axes), padding, pads)


def _spatial(numbers: list[int], axes: int) -> tuple[int, ...]:
    if len(numbers) != axes + 2 or numbers[0] != 1 or numbers[-1] != 1 or min(numbers) < 1:
        raise RefusedError("moves its window over examples or channels")
    return tuple(int(item) for item in numbers[1:-1])


def _picture(context: Context, tensor: Tensor, axes: int) -> tuple[int, ...]:
    shape = context.per_example(tensor)
    if len(shape) != axes + 1:
        raise RefusedError(f"works on {len(shape) - 1} spatial axes in place of {axes}")
    return shape


def _needed_axes(spatial: tuple[int, ...], extents: tuple[int, ...], pads: Pads) -> list[int]:
    """The spatial axes along which there is more than one position or weight; the first one if there is none."""
    idle = [a == b == 1 and pad == (0, 0) for a, b, pad in zip(spatial, extents, pads, strict=True)]
    return [axis for axis, skip in enumerate(idle) if not skip] or [0]


def _convolved(context: Context, name: str, tensor: Tensor, kernel: Weights, layer: str, window: Window) -> Tensor:
    """Add a convolution; one over an axis of length 1 (as of Conv1D) becomes one with an axis less."""
    axes = len(window.strides)
    shape = _picture(context, tensor, axes)
    if len(kernel.shape) != axes + 2:
        raise RefusedError(f"has a kernel of the shape {list(kernel.shape)}")
    if kernel.shape[-2] != shape[-1]:
        raise RefusedError("convolves groups of channels by themselves")
    extents = kernel.shape[:axes]
    pads = window.pads(shape[:-1], extents)
    used = _needed_axes(shape[:-1], extents, pads)
    builder = context.builder
    source = builder.reshape(f"{name}/squeezed", tensor.name, (*(shape[axis] for axis in used), shape[-1]))
    op = Conv(
        name=name if len(used) == axes else f"{name}/convolution",
        inputs=(source,),
        kernel=kernel.reshape(*(extents[axis] for axis in used), *kernel.shape[-2:]),
        bias=None,
        strides=tuple(window.strides[axis] for axis in used),
        pads=tuple(pads[axis] for axis in used),
        dilations=tuple(window.dilations[axis] for axis in used),
        layer=layer,
    )
    positions = window_positions(shape[:-1], extents, window.strides, pads, window.dilations)
    result = builder.reshape(name, builder.add(op), (*positions, kernel.shape[-1]))
    return Tensor(result, (tensor.shape[0], *positions, kernel.shape[-1]))


def _channelwise(context: Context, name: str, tensor: Tensor, kernel: Weights, layer: str, window: Window) -> Tensor:
    """Add a convolution of every channel by itself."""
    shape = _picture(context, tensor, 2)
    if len(kernel.shape) != 4:
        raise RefusedError(f"has a kernel of the shape {list(kernel.shape)}")
    pads = window.pads(shape[:-1], kernel.shape[:2])
    op = DepthwiseConv(name, (tensor.name,), kernel, None, window.strides, pads, window.dilations, layer)
    made = context.builder.add(op)
    return Tensor(made, (tensor.shape[0], *context.builder.shapes[made]))


def _conv(context: Context, node: Any, values: list[Value]) -> Value:
    window = _window(node, 3 if node.op == "Conv3D" else 2)
    source, kernel = values
    depthwise = node.op == "DepthwiseConv2dNative"
    if isinstance(source, Spaced):
        if set(window.strides) | set(window.dilations) != {1} or window.padding != "VALID":
            raise RefusedError("convolves interleaved pictures with strides or padding")
        return SpacedProduct(source, kernel, depthwise)
    made = _channelwise if depthwise else _convolved

    def emit(tensor: Tensor, weights: Weights, layer: str) -> Tensor:
        return made(context, node.name, tensor, weights, layer, window)

    return multiply(context, node, source, kernel, emit)


def _space_to_batch(context: Context, node: Any, values: list[Value]) -> Value:
    source = values[0]
    block, pads = _blocks(values)
    if not isinstance(source, (Tensor, Signed)):
        raise RefusedError("interleaves what is no tensor of the program")
    _picture(context, source.tensor if isinstance(source, Signed) else source, len(block))
    return Spaced(source, block, pads)


def _blocks(values: list[Value]) -> tuple[tuple[int, ...], Pads]:
    block, pads = values[1:3]
    if not isinstance(block, Known) or not isinstance(pads, Known) or pads.array.shape != (block.array.size, 2):
        raise RefusedError("has blocks or pads that are not known")
    sizes = [_plain(sizes_of(row)) for row in (block.array, *pads.array)]
    if min(sizes[0], default=0) < 1 or min((item for row in sizes[1:] for item in row), default=0) < 0:
        raise RefusedError("has negative blocks or pads")
    return sizes[0], tuple((row[0], row[1]) for row in sizes[1:])


def _plain(sizes: ViewShape) -> tuple[int, ...]:
    return tuple(int(size) for size in sizes)


def _batch_to_space(context: Context, node: Any, values: list[Value]) -> Value:
    """The end of a dilated convolution: `SpaceToBatchND`, a convolution, `BatchToSpaceND`."""
    product = values[0]
    block, crops = _blocks(values)
    if not isinstance(product, SpacedProduct):
        raise RefusedError("puts together what is no convolution of interleaved pictures")
    source, idle = product.source, product.dropped
    if source.block != (1,) * idle + block:
        raise RefusedError("puts together interleaved pictures of another spacing")
    pads = source.pads[:idle] + tuple(
        (before - low, after - high) for (before, after), (low, high) in zip(source.pads[idle:], crops, strict=True)
    )
    if min((item for pair in pads for item in pair), default=0) < 0:
        raise RefusedError("crops a convolution of interleaved pictures")
    window = Window((1,) * len(source.block), source.block, "EXPLICIT", pads)
    made = _channelwise if product.is_depthwise else _convolved

    def emit(tensor: Tensor, weights: Weights, layer: str) -> Tensor:
        result = made(context, node.name, tensor, weights, layer, window)
        shape = (result.shape[0], *result.shape[1 + idle :])
        return context.view(f"{node.name}/joined", result, shape)

    return multiply(context, node, source.inner, product.kernel, emit)


def spaced_axis(context: Context, node: Any, value: Spaced | SpacedProduct, axis: int) -> Value:
    """Add an axis of length 1 in front of the picture of interleaved pictures, or drop it behind the product.

    Raises:
        RefusedError: If it is another axis.
    """
    if axis != 1:
        raise RefusedError("rearranges interleaved pictures")
    if isinstance(value, SpacedProduct):
        if value.source.block[value.dropped] != 1 or value.source.pads[value.dropped] != (0, 0):
            raise RefusedError("rearranges interleaved pictures")
        return replace(value, dropped=value.dropped + 1)
    signed = isinstance(value.inner, Signed)
    tensor = value.inner.tensor if isinstance(value.inner, Signed) else value.inner
    tensor = context.view(node.name, tensor, (tensor.shape[0], 1, *tensor.shape[1:]))
    return Spaced(Signed(tensor) if signed else tensor, (1, *value.block), ((0, 0), *value.pads))


def _pool(context: Context, node: Any, values: list[Value]) -> Value:
    axes = 3 if node.op.endswith("3D") else 2
    if node.op == "MaxPoolV2":
        numbers = [item.array for item in values[1:3] if isinstance(item, Known)]
        if len(numbers) != 2:
            raise RefusedError("has a window that is not known")
        for name, array in zip(("ksize", "strides"), numbers, strict=True):
            node = _with_numbers(node, name, array)
    window, extents = _window(node, axes), _spatial(list(node.attr["ksize"].list.i), axes)
    tensor = settled(values[0])
    if not isinstance(tensor, Tensor):
        raise RefusedError("pools what is no tensor of the program")
    shape = _picture(context, tensor, axes)
    pads = window.pads(shape[:-1], extents)
    used = _needed_axes(shape[:-1], extents, pads)
    builder = context.builder
    source = builder.reshape(f"{node.name}/squeezed", tensor.name, (*(shape[axis] for axis in used), shape[-1]))
    op = Pool(
        name=node.name if len(used) == axes else f"{node.name}/pool",
        inputs=(source,),
        pooling=Pooling.MAX if node.op.startswith("Max") else Pooling.AVERAGE,
        window=tuple(extents[axis] for axis in used),
        strides=tuple(window.strides[axis] for axis in used),
        pads=tuple(pads[axis] for axis in used),
    )
    positions = window_positions(shape[:-1], extents, window.strides, pads, (1,) * axes)
    result = builder.reshape(node.name, builder.add(op), (*positions, shape[-1]))
    return Tensor(result, (tensor.shape[0], *positions, shape[-1]))


def _with_numbers(node: Any, name: str, array: AnyArray) -> Any:
    copy = type(node)()
    copy.CopyFrom(node)
    copy.attr[name].list.i.extend(int(item) for item in np.atleast_1d(array))
    return copy


RULES: Rules = {
    "AvgPool": _pool,
    "AvgPool3D": _pool,
    "BatchToSpaceND": _batch_to_space,
    "Conv2D": _conv,
    "Conv3D": _conv,
    "DepthwiseConv2dNative": _conv,
    "MaxPool": _pool,
    "MaxPool3D": _pool,
    "MaxPoolV2": _pool,
    "SpaceToBatchND": _space_to_batch,
}
"""Convolutions and pooling."""
