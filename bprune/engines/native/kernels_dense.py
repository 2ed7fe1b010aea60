"""The kernel of dense products: a tile of 64 examples side by side, sums of a few outputs kept in registers."""

from __future__ import annotations

from typing import Any

from numba.core import types

from bprune.engines.native.jit import intrinsic, target_has
from bprune.engines.native.kernels_vectors import INT64, WIDTH, load, sum_products, vector_at

__all__ = ["COLUMNS", "ROWS", "TILE"]

TILE = 64
"""Examples side by side."""

ROWS, COLUMNS = (6, 4) if target_has("avx512f") else (6, 1) if target_has("neon") else (3, 2)
"""Outputs, and columns of 16 examples, whose sums are kept in registers at a time: 24 of 32 registers of 16 numbers,
24 of 32 of 4 numbers, or 12 of 16 of 8 numbers."""

_ARGUMENTS = ("sums", "sums_at", "x", "x_at", "weights", "weights_at", "step", "inputs", "rows")


@intrinsic
def add_products(
    context: Any,
    sums: Any,
    sums_at: Any,
    x: Any,
    x_at: Any,
    weights: Any,
    weights_at: Any,
    step: Any,
    inputs: Any,
    rows: Any,
) -> Any:
    """sums[r, n] += sum_k weights[k, r] x[k, n], for `rows` outputs r, at most `ROWS`, and `COLUMNS` columns n.

    All arrays are flat: rows of sums and x are `TILE` numbers apart, rows of weights `step`. There is at least one
    input. Products are added in the order of the inputs, whatever is computed beside them.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        named = dict(zip(_ARGUMENTS, arguments, strict=True))
        for name, kind in zip(_ARGUMENTS, signature.args, strict=True):
            if isinstance(kind, types.Array):
                data = context.make_array(kind)(context, builder, named[name]).data
                named[name] = builder.gep(data, [named[f"{name}_at"]])
        done = builder.append_basic_block("done")
        choice = builder.switch(named["rows"], done)
        for count in range(1, ROWS + 1):
            block = builder.append_basic_block(f"rows_{count}")
            choice.add_case(INT64(count), block)
            builder.position_at_end(block)
            _emit_rows(builder, count, done, **named)
        builder.position_at_end(done)
        return context.get_dummy_value()

    numbers, integer = types.Array(types.float32, 1, "C"), types.int64
    given = (numbers, integer, numbers, integer, numbers, integer, integer, integer, integer)
    return types.none(*given), generate


def _emit_rows(builder: Any, count: int, done: Any, **named: Any) -> None:
    """The code for a number of outputs that is known."""
    shifts = [TILE * r + WIDTH * c for r in range(count) for c in range(COLUMNS)]

    def factors(index: Any) -> tuple[list[Any], list[Any]]:
        x = builder.gep(named["x"], [builder.mul(index, INT64(TILE))])
        weights = builder.gep(named["weights"], [builder.mul(index, named["step"])])
        numbers = [builder.load(builder.gep(weights, [INT64(r)])) for r in range(count)]
        return numbers, [load(builder, x, INT64(WIDTH * c)).value for c in range(COLUMNS)]

    places = [vector_at(builder, named["sums"], INT64(shift)) for shift in shifts]
    sum_products(builder, done, places, (INT64(0), named["inputs"]), factors)
