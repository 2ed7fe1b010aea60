"""Kernels of convolutions by Winograd's minimal filtering: windows of 3 or 5, stride 1, tiles of 6 by 6.

F(m, r) makes m outputs of a filter with r weights from m + r - 1 = 6 inputs, with 6 multiplications in place of m r
(Winograd 1980; Lavin and Gray 2016, eq. 8): in two dimensions 36 in place of 144 for r = 3, and of 100 for r = 5. The
points are 0, +-3/4, +-3/2 and infinity: with them the error in float32 is about 3e-6 of the size of the outputs, a
tenth of that with the usual points.

Activations are in lanes: `[group, channel, row, column, 16]`, 16 examples side by side in each group.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba.core import types

from bprune.engines.native.jit import inlined, intrinsic, kernel
from bprune.engines.native.kernels_dense import COLUMNS, ROWS, TILE, add_products
from bprune.engines.native.kernels_vectors import INT64, WIDTH, Vector, data_of, load, spread, store

__all__ = ["SIDE", "transform_kernel", "winograd_convolution"]

_f = np.float32
SIDE = 6
"""Rows and columns of a tile of inputs."""
_POINTS = SIDE * SIDE
_A, _B = 0.75, 1.5
_A2, _B2 = _A**2, _B**2
_A3, _B3 = _A**3, _B**3
_SUM, _PRODUCT = _A2 + _B2, _A2 * _B2
_N0, _NA, _NB = _f(1.0 / _PRODUCT), _f(0.5 / (_A2 * (_A2 - _B2))), _f(0.5 / (_B2 * (_B2 - _A2)))
_PA, _PB = [tuple(_f(point**power) for power in range(5)) for point in (_A, _B)]


@inlined
def _filter(w0: Any, w1: Any, w2: Any, w3: Any, w4: Any) -> Any:
    """G w: the weights at the six points."""
    even, odd = w0 + _PA[2] * w2 + _PA[4] * w4, _PA[1] * w1 + _PA[3] * w3
    even_b, odd_b = w0 + _PB[2] * w2 + _PB[4] * w4, _PB[1] * w1 + _PB[3] * w3
    return _N0 * w0, _NA * (even + odd), _NA * (even - odd), _NB * (even_b + odd_b), _NB * (even_b - odd_b)


@kernel
def transform_kernel(out: Any, weights: Any, window: Any, channels: Any, filters: Any) -> None:
    """The kernel of a convolution at the 36 points: G w G^T.

    Args:
        out: `[point, channel, filter]`, flat, float32, written.
        weights: `[row, column, channel, filter]`, flat, float32.
        window: Rows and columns of the kernel: 3 or 5.
        channels: Channels of the input.
        filters: Filters.

    Raises:
        ValueError: If the sizes do not fit together.
    """
    if window not in (3, 5) or weights.size != window**2 * channels * filters:
        raise ValueError("the kernel is not of its size")
    if out.size != _POINTS * channels * filters:
        raise ValueError("the transformed kernel is not of its size")
    area = channels * filters
    half = np.zeros((SIDE, 5, filters), np.float32)
    none = np.zeros(filters, np.float32)
    for channel in range(channels):
        at = channel * filters
        for j in range(window):
            w0 = weights[(0 * window + j) * area + at : (0 * window + j) * area + at + filters]
            w1 = weights[(1 * window + j) * area + at : (1 * window + j) * area + at + filters]
            w2 = weights[(2 * window + j) * area + at : (2 * window + j) * area + at + filters]
            w3, w4 = none, none
            if window == 5:
                w3 = weights[(3 * window + j) * area + at : (3 * window + j) * area + at + filters]
                w4 = weights[(4 * window + j) * area + at : (4 * window + j) * area + at + filters]
            for k in range(filters):
                p0, p1, p2, p3, p4 = _filter(w0[k], w1[k], w2[k], w3[k], w4[k])
                half[0, j, k], half[1, j, k], half[2, j, k], half[3, j, k], half[4, j, k] = p0, p1, p2, p3, p4
                half[5, j, k] = w4[k] if window == 5 else w2[k]
        for i in range(SIDE):
            first = i * SIDE * area + at
            o0, o1 = out[first : first + filters], out[first + area : first + area + filters]
            o2 = out[first + 2 * area : first + 2 * area + filters]
            o3 = out[first + 3 * area : first + 3 * area + filters]
            o4 = out[first + 4 * area : first + 4 * area + filters]
            o5 = out[first + 5 * area : first + 5 * area + filters]
            h = half[i]
            for k in range(filters):
                o0[k], o1[k], o2[k], o3[k], o4[k] = _filter(h[0, k], h[1, k], h[2, k], h[3, k], h[4, k])
                o5[k] = h[4, k] if window == 5 else h[2, k]


def _picture(d: list[Vector]) -> list[Vector]:
    """B^T d: six inputs at the six points."""
    even, odd = d[4] - _B2 * d[2], _A * (d[3] - _B2 * d[1])
    even_b, odd_b = d[4] - _A2 * d[2], _B * (d[3] - _A2 * d[1])
    first, last = d[4] - _SUM * d[2] + _PRODUCT * d[0], d[5] - _SUM * d[3] + _PRODUCT * d[1]
    return [first, even + odd, even - odd, even_b + odd_b, even_b - odd_b, last]


def _results(m: list[Vector], count: int) -> list[Vector]:
    """A^T m: the outputs, two or four, of six points."""
    sum_a, sum_b, difference_a, difference_b = m[1] + m[2], m[3] + m[4], m[1] - m[2], m[3] - m[4]
    made = [m[0] + sum_a + sum_b, _A * difference_a + _B * difference_b]
    if count == 4:
        made += [_A2 * sum_a + _B2 * sum_b, _A3 * difference_a + _B3 * difference_b]
    made[-1] += m[5]
    return made


_NUMBERS = types.Array(types.float32, 1, "C")


@intrinsic
def _transform_picture(context: Any, out: Any, out_at: Any, x: Any, x_at: Any, step: Any, columns: Any) -> Any:
    """B^T d B of a channel's tile of 16 examples.

    Points of `out` are `step` numbers apart, rows of x `columns` vectors.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        out, _, x, _, step, columns = data_of(context, builder, signature, arguments)
        line = builder.mul(columns, INT64(WIDTH))
        half = []
        for j in range(SIDE):
            places = [builder.add(builder.mul(line, INT64(i)), INT64(WIDTH * j)) for i in range(SIDE)]
            half.append(_picture([load(builder, x, place) for place in places]))
        for i in range(SIDE):
            for j, vector in enumerate(_picture([half[k][i] for k in range(SIDE)])):
                store(builder, vector, out, builder.mul(step, INT64(SIDE * i + j)))
        return context.get_dummy_value()

    integer = types.int64
    return types.none(_NUMBERS, integer, _NUMBERS, integer, integer, integer), generate


def _transform_results(count: int) -> Any:
    """A^T m A of a filter's tile of 16 examples, to `[row, column, 16]`, for `count` rows and columns."""

    @intrinsic
    def transform(context: Any, out: Any, out_at: Any, m: Any, m_at: Any, step: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            out, _, m, _, step = data_of(context, builder, signature, arguments)
            half = []
            for j in range(SIDE):
                places = [builder.mul(step, INT64(SIDE * i + j)) for i in range(SIDE)]
                half.append(_results([load(builder, m, place) for place in places], count))
            for i in range(count):
                for j, vector in enumerate(_results([half[k][i] for k in range(SIDE)], count)):
                    store(builder, vector, out, INT64(WIDTH * (count * i + j)))
            return context.get_dummy_value()

        integer = types.int64
        return types.none(_NUMBERS, integer, _NUMBERS, integer, integer), generate

    return transform


_two_results, _four_results = _transform_results(2), _transform_results(4)


@intrinsic
def _put(context: Any, out: Any, out_at: Any, made: Any, made_at: Any, shift: Any, floor: Any) -> Any:
    """out = max(made + shift, floor), of 16 numbers; NaN stays."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        out, _, made, _, shift, floor = data_of(context, builder, signature, arguments)
        value = load(builder, made, INT64(0)) + Vector(builder, spread(builder, shift))
        least = spread(builder, floor)
        below = builder.fcmp_ordered("<", value.value, least)
        store(builder, Vector(builder, builder.select(below, least, value.value)), out, INT64(0))
        return context.get_dummy_value()

    integer, number = types.int64, types.float32
    return types.none(_NUMBERS, integer, _NUMBERS, integer, number, number), generate


@kernel
def winograd_convolution(
    out: Any, corner: Any, size: Any, x: Any, weights: Any, bias: Any, window: Any, relu: Any
) -> None:
    """A convolution of groups of 16 examples with stride 1, then relu if wanted.

    Args:
        out: `[group, channel, row, column, 16]`, float32, written in part: the filters come first.
        corner: Where the result begins in `out`, (row, column).
        size: Rows and columns of the result.
        x: `[group, channel, row, column, 16]`, float32: pictures with the zeros around them, and as many rows and
            columns as whole tiles need.
        weights: What `transform_kernel` made, `[point, channel, filter]`, flat.
        bias: `[filter]`, float32.
        window: Rows and columns of the kernel: 3 or 5.
        relu: Whether negative results become 0.

    Raises:
        ValueError: If the sizes do not fit together.
    """
    groups, channels, rows, columns = x.shape[0], x.shape[1], x.shape[2], x.shape[3]
    filters, count = bias.size, SIDE + 1 - window
    down, across = (size[0] + count - 1) // count, (size[1] + count - 1) // count
    fits = corner[0] + size[0] <= out.shape[2] and corner[1] + size[1] <= out.shape[3]
    fits = fits and out.shape[0] == groups and out.shape[1] >= filters and min(corner[0], corner[1]) >= 0
    fits = fits and (down - 1) * count + SIDE <= rows and (across - 1) * count + SIDE <= columns
    if not fits or window not in (3, 5) or weights.size != _POINTS * channels * filters:
        raise ValueError("the pictures, the kernel and the result do not fit together")
    # Points are a cache line more than a power of two apart, or all of them would want the same places of the cache.
    step, sums_step = channels * TILE + WIDTH, filters * TILE + WIDTH
    memory = np.empty(_POINTS * (step + sums_step) + WIDTH, np.float32)
    line = -(memory.ctypes.data // 4) % WIDTH
    inputs = memory[line : line + _POINTS * step]
    sums = memory[line + inputs.size : line + inputs.size + _POINTS * sums_step]
    made = np.empty(16 * WIDTH, np.float32)
    flat, flat_out = x.reshape(-1), out.reshape(-1)
    floor = _f(0.0) if relu else _f(-np.inf)
    places = TILE // WIDTH
    total = down * across * groups
    blocks = (filters + ROWS - 1) // ROWS
    together = (filters + blocks - 1) // max(blocks, 1)
    if total % places:
        inputs[:] = _f(0.0)
    for first in range(0, total, places):
        taken = min(places, total - first)
        for place in range(taken):
            tile, group = (first + place) // groups, (first + place) % groups
            top, left = tile // across * count, tile % across * count
            for channel in range(channels):
                at = (((group * channels + channel) * rows + top) * columns + left) * WIDTH
                out_at = channel * TILE + place * WIDTH
                _transform_picture(inputs, out_at, flat, at, step, columns)
        sums[:] = _f(0.0)
        for point in range(_POINTS):
            kernel_at, x_at, sums_at = point * channels * filters, point * step, point * sums_step
            for column in range(0, places, COLUMNS):
                shift = column * WIDTH
                for r in range(0, filters, together):
                    add_products(
                        sums,
                        sums_at + r * TILE + shift,
                        inputs,
                        x_at + shift,
                        weights,
                        kernel_at + r,
                        filters,
                        channels,
                        min(together, filters - r),
                    )
        for place in range(taken):
            tile, group = (first + place) // groups, (first + place) % groups
            top, left = tile // across * count, tile % across * count
            for filter_ in range(filters):
                if count == 2:
                    _two_results(made, 0, sums, filter_ * TILE + place * WIDTH, sums_step)
                else:
                    _four_results(made, 0, sums, filter_ * TILE + place * WIDTH, sums_step)
                shift = bias[filter_]
                for i in range(min(count, size[0] - top)):
                    row = (group * out.shape[1] + filter_) * out.shape[2] + corner[0] + top + i
                    at = (row * out.shape[3] + corner[1] + left) * WIDTH
                    for j in range(min(count, size[1] - left)):
                        _put(flat_out, at + j * WIDTH, made, (i * count + j) * WIDTH, shift, floor)
