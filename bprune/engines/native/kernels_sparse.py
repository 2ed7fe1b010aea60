"""Kernels of sparse layers: products and convolutions with the weights that survived.

All of them keep 16 examples side by side, as one vector: activations are `[channel, row, column, 16]` (a dense layer
has one row, and columns of 16 examples each). A weight is one number for all of them: it is spread over a vector, and
multiplied with a run of columns whose sums stay in registers.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba.core import types

from bprune.engines.native.jit import intrinsic, kernel, target_has
from bprune.engines.native.kernels_vectors import INT64, WIDTH, load, sum_products, vector_at

__all__ = ["LONGEST_RUN", "add_live_products", "sparse_convolution"]

LONGEST_RUN = 12 if target_has("avx512f") else 6
"""Columns whose sums are kept in registers at a time: 32 registers of 16 numbers, or as many bytes in smaller ones."""

_f = np.float32


@intrinsic
def add_live_products(
    context: Any,
    sums: Any,
    sums_at: Any,
    x: Any,
    x_at: Any,
    step: Any,
    columns: Any,
    offsets: Any,
    unit: Any,
    values: Any,
    start: Any,
    end: Any,
    shift: Any,
) -> Any:
    """sums[c] += values[p] x[offsets[p + shift] unit + c step], for all columns c and all p from start to end.

    There is at least one p. `sums` and `x` are flat; the c-th sums are the 16 numbers at `sums_at + 16 c`, those of x
    are counted from `x_at`. Offsets are uint32, other integers int64. LLVM's vectoriser would keep the sums in memory.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        named = dict(zip(_ARGUMENTS, arguments, strict=True))
        for name, kind in zip(_ARGUMENTS, signature.args, strict=True):
            if isinstance(kind, types.Array):
                named[name] = context.make_array(kind)(context, builder, named[name]).data
        named["sums"] = builder.gep(named["sums"], [named["sums_at"]])
        named["x"] = builder.gep(named["x"], [named["x_at"]])
        done = builder.append_basic_block("done")
        choice = builder.switch(named["columns"], done)
        for count in range(1, LONGEST_RUN + 1):
            block = builder.append_basic_block(f"columns_{count}")
            choice.add_case(INT64(count), block)
            builder.position_at_end(block)
            _emit_run(builder, count, done, **named)
        builder.position_at_end(done)
        return context.get_dummy_value()

    integer = types.int64
    arrays = [types.Array(item, 1, "C") for item in (types.float32, types.uint32)]
    numbers, places = arrays
    given = (numbers, integer, numbers, integer, integer, integer, places, integer, numbers, integer, integer, integer)
    return types.none(*given), generate


_ARGUMENTS = ("sums", "sums_at", "x", "x_at", "step", "columns", "offsets", "unit", "values", "start", "end", "shift")


def _emit_run(builder: Any, count: int, done: Any, **named: Any) -> None:
    """The code for a number of columns that is known."""
    shifts = [builder.mul(named["step"], INT64(c)) for c in range(count)]
    offsets = builder.gep(named["offsets"], [named["shift"]])

    def factors(index: Any) -> tuple[list[Any], list[Any]]:
        offset = builder.zext(builder.load(builder.gep(offsets, [index])), INT64)
        start = builder.gep(named["x"], [builder.mul(offset, named["unit"])])
        number = builder.load(builder.gep(named["values"], [index]))
        return [number], [load(builder, start, shift).value for shift in shifts]

    places = [vector_at(builder, named["sums"], INT64(WIDTH * c)) for c in range(count)]
    sum_products(builder, done, places, (named["start"], named["end"]), factors)


@kernel
def sparse_convolution(
    out: Any,
    x: Any,
    ends: Any,
    offsets: Any,
    values: Any,
    bias: Any,
    strides: Any,
    corner: Any,
    size: Any,
    relu: Any,
) -> None:
    """A convolution of 16 examples, then relu if wanted.

    Args:
        out: `[channel, row, column, 16]`, float32, written in part.
        x: `[channel, row, column, 16]`, float32, zeros around it included.
        ends: `[block, output]`, int64: where the weights of an output channel in a block of input channels end in
            `values`. They are ordered by block, then output channel.
        offsets: `[weight]`, uint32: how many columns of 16 lie between the corner of a window and what the weight is
            multiplied with: `(channel rows + i) columns + j`.
        values: `[weight]`, float32.
        bias: `[output]`, float32.
        strides: Two int64.
        corner: Where the result begins in `out`, (row, column): `out` may have margins for the zeros of what follows.
        size: How many rows and columns the result has.
        relu: Whether negative results become 0.
    """
    channels, columns = out.shape[0], size[1]
    floor = _f(0.0) if relu else _f(-np.inf)
    memory = np.empty((channels * columns + 1) * WIDTH, np.float32)
    sums = memory[-(memory.ctypes.data // 4) % WIDTH :]  # on a cache line
    flat = x.reshape(-1)
    runs = (columns + LONGEST_RUN - 1) // LONGEST_RUN
    for row in range(size[0]):
        for channel in range(channels):
            sums[channel * columns * WIDTH : (channel + 1) * columns * WIDTH] = bias[channel]
        top = row * strides[0] * x.shape[2]
        start = 0
        for block in range(ends.shape[0]):
            for channel in range(channels):
                end = ends[block, channel]
                for run in range(runs if end > start else 0):
                    at, stop = run * columns // runs, (run + 1) * columns // runs
                    place, step = (channel * columns + at) * WIDTH, strides[1] * WIDTH
                    corner_at = (top + at * strides[1]) * WIDTH
                    add_live_products(
                        sums, place, flat, corner_at, step, stop - at, offsets, WIDTH, values, start, end, 0
                    )
                start = end
        for channel in range(channels):
            part = sums[channel * columns * WIDTH : (channel + 1) * columns * WIDTH]
            result = out[channel, corner[0] + row, corner[1] : corner[1] + columns].reshape(-1)
            for i in range(part.size):
                result[i] = floor if part[i] < floor else part[i]
