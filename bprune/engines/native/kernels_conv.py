"""The kernel of plain convolutions: all weights, any window, stride and dilation, with max pooling of the result.

Activations are in lanes: `[group, channel, row, column, 16]`, 16 examples side by side in each group. The sums of a few
filters at a few neighbouring positions are kept in registers. Results that are pooled at once never leave the fastest
cache: what a first convolution makes of a small picture is many times larger than what the pooling leaves.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba.core import types

from bprune.engines.native.jit import intrinsic, kernel
from bprune.engines.native.kernels_dense import COLUMNS, ROWS
from bprune.engines.native.kernels_vectors import (
    INT64,
    WIDTH,
    Vector,
    data_of,
    load,
    spread,
    store,
    sum_products,
    vector_at,
)

__all__ = ["plain_convolution"]

_f = np.float32
_CHUNK = 48
"""Filters whose results wait for pooling at a time."""


def _window_products(columns: int) -> Any:
    """The products of some filters at `columns` neighbouring positions."""

    @intrinsic
    def add(
        context: Any,
        sums: Any,
        sums_at: Any,
        filter_step: Any,
        x: Any,
        x_at: Any,
        stride: Any,
        weights: Any,
        weights_at: Any,
        weight_step: Any,
        offsets: Any,
        offsets_at: Any,
        inputs: Any,
        rows: Any,
    ) -> Any:
        """sums[r, c] += sum_k weights[k, r] x[offsets[k] + stride c]: vectors, for filters r and positions c.

        Filters of sums are `filter_step` numbers apart; offsets count vectors. There is at least one weight, and at
        most `ROWS` filters.
        """

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            sums, _, filter_step, x, _, stride, weights, _, weight_step, offsets, _, inputs, rows = data_of(
                context, builder, signature, arguments
            )
            done = builder.append_basic_block("done")
            choice = builder.switch(rows, done)
            for count in range(1, ROWS + 1):
                block = builder.append_basic_block(f"rows_{count}")
                choice.add_case(INT64(count), block)
                builder.position_at_end(block)
                shifts = [
                    builder.add(builder.mul(filter_step, INT64(r)), INT64(WIDTH * c))
                    for r in range(count)
                    for c in range(columns)
                ]
                steps = [builder.mul(stride, INT64(WIDTH * c)) for c in range(columns)]
                _emit_loop(builder, done, (sums, shifts), (x, steps), (weights, weight_step, count), offsets, inputs)
            builder.position_at_end(done)
            return context.get_dummy_value()

        numbers, integer = types.Array(types.float32, 1, "C"), types.int64
        places = types.Array(types.uint32, 1, "C")
        given = (numbers, integer, integer, numbers, integer, integer, numbers, integer, integer, places)
        return types.none(*given, integer, integer, integer), generate

    return add


def _emit_loop(
    builder: Any,
    done: Any,
    sums: tuple[Any, list[Any]],
    x: tuple[Any, list[Any]],
    weights: tuple[Any, Any, int],
    offsets: Any,
    inputs: Any,
) -> None:
    """The code for a number of filters that is known: the sums are at some shifts, positions at some steps."""

    def factors(index: Any) -> tuple[list[Any], list[Any]]:
        offset = builder.zext(builder.load(builder.gep(offsets, [index])), INT64)
        place = builder.gep(x[0], [builder.mul(offset, INT64(WIDTH))])
        row = builder.gep(weights[0], [builder.mul(index, weights[1])])
        numbers = [builder.load(builder.gep(row, [INT64(r)])) for r in range(weights[2])]
        return numbers, [load(builder, place, step).value for step in x[1]]

    places = [vector_at(builder, sums[0], shift) for shift in sums[1]]
    sum_products(builder, done, places, (INT64(0), inputs), factors)


_at_some, _at_one = _window_products(COLUMNS), _window_products(1)


@intrinsic
def _spread_to(context: Any, out: Any, out_at: Any, number: Any) -> Any:
    """out = 16 times a number."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        out, _, number = data_of(context, builder, signature, arguments)
        store(builder, Vector(builder, spread(builder, number)), out, INT64(0))
        return context.get_dummy_value()

    return types.none(types.Array(types.float32, 1, "C"), types.int64, types.float32), generate


@intrinsic
def _take_larger(context: Any, out: Any, out_at: Any, x: Any, x_at: Any) -> Any:
    """out = max(out, x), of 16 numbers; NaN stays and comes."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        out, _, x, _ = data_of(context, builder, signature, arguments)
        old, new = load(builder, out, INT64(0)).value, load(builder, x, INT64(0)).value
        stays = builder.or_(builder.fcmp_ordered("<=", new, old), builder.fcmp_unordered("uno", old, old))
        store(builder, Vector(builder, builder.select(stays, old, new)), out, INT64(0))
        return context.get_dummy_value()

    numbers, integer = types.Array(types.float32, 1, "C"), types.int64
    return types.none(numbers, integer, numbers, integer), generate


@kernel
def plain_convolution(
    out: Any,
    corner: Any,
    size: Any,
    x: Any,
    offsets: Any,
    strides: Any,
    weights: Any,
    bias: Any,
    relu: Any,
    pool: Any,
) -> None:
    """A convolution of groups of 16 examples, then relu and max pooling if wanted.

    Args:
        out: `[group, channel, row, column, 16]`, float32, written in part: the filters come first.
        corner: Where the result begins in `out`, (row, column).
        size: Rows and columns of the convolution, before pooling.
        x: `[group, channel, row, column, 16]`, float32, zeros around the pictures included.
        offsets: `[weight]`, uint32: how many vectors of 16 lie between the corner of a window and what a weight is
            multiplied with, `(channel rows + i) columns + j`.
        strides: Of the convolution, two int64.
        weights: `[weight, filter]`, flat, float32.
        bias: `[filter]`, float32.
        relu: Whether negative results become 0.
        pool: Rows and columns of the windows of the pooling, which do not overlap and divide `size`; (1, 1) for none.

    Raises:
        ValueError: If the sizes do not fit together.
    """
    groups, channels, rows, columns = x.shape[0], x.shape[1], x.shape[2], x.shape[3]
    filters, inputs = bias.size, offsets.size
    fits = weights.size == filters * inputs and size[0] % pool[0] == 0 and size[1] % pool[1] == 0
    down, across = size[0] // pool[0], size[1] // pool[1]
    fits = fits and corner[0] + down <= out.shape[2] and corner[1] + across <= out.shape[3]
    fits = fits and out.shape[0] == groups and out.shape[1] >= filters and min(corner[0], corner[1]) >= 0
    reach = ((size[0] - 1) * strides[0] * columns + (size[1] - 1) * strides[1]) if min(size[0], size[1]) > 0 else 0
    for k in range(inputs):
        fits = fits and offsets[k] + reach < channels * rows * columns
    if not fits or inputs == 0:
        raise ValueError("the pictures, the kernel and the result do not fit together")
    blocks = (filters + ROWS - 1) // ROWS
    together = (filters + blocks - 1) // max(blocks, 1)
    chunk = max(together, _CHUNK // max(together, 1) * together)
    line = size[1] * WIDTH
    memory = np.empty(chunk * pool[0] * line + WIDTH, np.float32)
    sums = memory[-(memory.ctypes.data // 4) % WIDTH :]
    flat, flat_out = x.reshape(-1), out.reshape(-1)
    floor = _f(0.0) if relu else _f(-np.inf)
    for group in range(groups):
        for begin in range(0, filters, chunk):
            end = min(begin + chunk, filters)
            for pooled in range(down):
                for i in range(pool[0]):
                    top = (group * channels * rows + (pooled * pool[0] + i) * strides[0]) * columns
                    for first in range(begin, end, together):
                        count = min(together, end - first)
                        at = ((first - begin) * pool[0] + i) * line
                        step = pool[0] * line
                        for r in range(count):
                            for j in range(size[1]):
                                _spread_to(sums, at + r * step + j * WIDTH, bias[first + r])
                        j = 0
                        while j < size[1]:
                            x_at, place = (top + j * strides[1]) * WIDTH, at + j * WIDTH
                            which = (weights, first, filters, offsets, 0, inputs, count)
                            if j + COLUMNS <= size[1]:
                                _at_some(sums, place, step, flat, x_at, strides[1], *which)
                                j += COLUMNS
                            else:
                                _at_one(sums, place, step, flat, x_at, strides[1], *which)
                                j += 1
                for filter_ in range(begin, end):
                    row = (group * out.shape[1] + filter_) * out.shape[2] + corner[0] + pooled
                    for j in range(across):
                        place = (row * out.shape[3] + corner[1] + j) * WIDTH
                        _spread_to(flat_out, place, floor)
                        for i in range(pool[0]):
                            at = ((filter_ - begin) * pool[0] + i) * line + j * pool[1] * WIDTH
                            for k in range(pool[1]):
                                _take_larger(flat_out, place, sums, at + k * WIDTH)
