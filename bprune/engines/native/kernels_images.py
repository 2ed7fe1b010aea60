"""Kernels that move activations between layouts, and pooling in both of them.

Rows: `[example, row, column, channel]`, as everywhere in BPrune. Lanes: `[channel, row, column, 16]`, 16 examples side
by side, which sparse convolutions need; arrays of lanes may have margins, so pictures begin at a corner (row, column).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from bprune.engines.native.jit import inlined, kernel

__all__ = ["images_from_lanes", "images_to_lanes", "pool_lanes", "pool_rows"]

_WIDTH = 16
_BLOCK = 32
_f = np.float32


@inlined
def _check_room(lanes: Any, channels: Any, corner: Any, size: Any, examples: Any) -> None:
    """Refuse pictures that do not lie within an array of lanes."""
    rows, columns = corner[0] + size[0], corner[1] + size[1]
    fits = lanes[0] == channels and rows <= lanes[1] and columns <= lanes[2] and min(corner[0], corner[1]) >= 0
    if not fits or lanes[3] != _WIDTH or examples > _WIDTH:
        raise ValueError("the pictures do not fit into the array of lanes")


@kernel
def images_to_lanes(out: Any, x: Any, corner: Any) -> None:
    """Up to 16 examples in rows to lanes; margins and missing examples become 0.

    Args:
        out: `[channel, row, column, 16]`, float32, written as a whole.
        x: `[example, row, column, channel]`, float32, at most 16 examples.
        corner: Where the pictures begin in `out`, two int64.

    Raises:
        ValueError: If the shapes do not fit together.
    """
    examples, rows, columns, channels = x.shape
    _check_room(out.shape, channels, corner, (rows, columns), examples)
    out[:] = _f(0.0)
    for i in range(rows):
        for j in range(columns):
            for start in range(0, channels, _BLOCK):
                for n in range(examples):
                    for c in range(start, min(start + _BLOCK, channels)):
                        out[c, corner[0] + i, corner[1] + j, n] = x[n, i, j, c]


@kernel
def images_from_lanes(out: Any, x: Any, corner: Any) -> None:
    """The inverse of `images_to_lanes`: as many examples, rows, columns as `out` has, from the corner on.

    Raises:
        ValueError: If the shapes do not fit together.
    """
    examples, rows, columns, channels = out.shape
    _check_room(x.shape, channels, corner, (rows, columns), examples)
    for i in range(rows):
        for j in range(columns):
            for start in range(0, channels, _BLOCK):
                for n in range(examples):
                    for c in range(start, min(start + _BLOCK, channels)):
                        out[n, i, j, c] = x[c, corner[0] + i, corner[1] + j, n]


@inlined
def _take(place: Any, element: Any, count: Any, mean: Any) -> None:
    """Take the elements of one position of a window into its results."""
    if mean:
        for c in range(count):
            place[c] += element[c]
    else:
        for c in range(count):
            # Nothing compares with NaN: one that is there stays, one that comes is taken.
            stays = element[c] <= place[c] or place[c] != place[c]
            place[c] = place[c] if stays else element[c]


@inlined
def _divide(place: Any, count: Any) -> None:
    factor = _f(1.0) / _f(count)
    for c in range(place.size):
        place[c] *= factor


@kernel
def pool_lanes(
    out: Any,
    out_corner: Any,
    out_size: Any,
    x: Any,
    corner: Any,
    size: Any,
    window: Any,
    strides: Any,
    pads: Any,
    mean: Any,
) -> None:
    """Max or average pooling in lanes. Padding is never chosen and not counted.

    Args:
        out: `[channel, row, column, 16]`, float32, written in part.
        out_corner: Where the result begins in `out`, two int64, as all pairs here: row, column.
        out_size: Rows and columns of the result.
        x: `[channel, row, column, 16]`, float32.
        corner: Where the pictures begin in `x`.
        size: Rows and columns of a picture.
        window: Rows and columns of a window.
        strides: From window to window.
        pads: How many rows and columns of padding come before a picture.
        mean: Whether to average.

    Raises:
        ValueError: If the shapes do not fit together.
    """
    _check_room(out.shape, x.shape[0], out_corner, out_size, _WIDTH)
    _check_room(x.shape, x.shape[0], corner, size, _WIDTH)
    for channel in range(x.shape[0]):
        for i in range(out_size[0]):
            top = i * strides[0] - pads[0]
            first, last = max(top, 0), min(top + window[0], size[0])
            for j in range(out_size[1]):
                left = j * strides[1] - pads[1]
                start, end = max(left, 0), min(left + window[1], size[1])
                place = out[channel, out_corner[0] + i, out_corner[1] + j]
                place[:] = _f(0.0) if mean else _f(-np.inf)
                for row in range(corner[0] + first, corner[0] + last):
                    for column in range(corner[1] + start, corner[1] + end):
                        _take(place, x[channel, row, column], _WIDTH, mean)
                if mean:
                    _divide(place, (last - first) * (end - start))


@kernel
def pool_rows(out: Any, x: Any, window: Any, strides: Any, pads: Any, mean: Any) -> None:
    """Max or average pooling in rows; arguments as those of `pool_lanes`, without margins.

    Args:
        out: `[example, row, column, channel]`, float32, written.
        x: `[example, row, column, channel]`, float32.
        window: Rows and columns of a window, two int64, as all pairs here.
        strides: From window to window.
        pads: How many rows and columns of padding come before a picture.
        mean: Whether to average.

    Raises:
        ValueError: If the shapes do not fit together.
    """
    channels = x.shape[3]
    if out.shape[0] != x.shape[0] or out.shape[3] != channels:
        raise ValueError("the results of pooling do not fit into the array that is given")
    for n in range(out.shape[0]):
        for i in range(out.shape[1]):
            top = i * strides[0] - pads[0]
            first, last = max(top, 0), min(top + window[0], x.shape[1])
            for j in range(out.shape[2]):
                left = j * strides[1] - pads[1]
                start, end = max(left, 0), min(left + window[1], x.shape[2])
                place = out[n, i, j]
                place[:] = _f(0.0) if mean else _f(-np.inf)
                for row in range(first, last):
                    for column in range(start, end):
                        _take(place, x[n, row, column], channels, mean)
                if mean:
                    _divide(place, (last - first) * (end - start))
