"""Vectors of 16 float32 in hand-written machine code, for where LLVM does not find the vectors itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]
from numba.core import types

__all__ = [
    "FLOAT",
    "INT32",
    "INT64",
    "VECTOR",
    "WIDTH",
    "Vector",
    "data_of",
    "load",
    "spread",
    "store",
    "sum_products",
    "vector_at",
]

WIDTH = 16
"""Numbers of a vector: 16 examples side by side."""
FLOAT, INT32, INT64 = ir.FloatType(), ir.IntType(32), ir.IntType(64)
VECTOR = ir.VectorType(FLOAT, WIDTH)
_FLAGS = ("contract", "nsz")
"""A product and a sum may be rounded once."""


class Vector:
    """A vector in a function that is being built; arithmetic with it is arithmetic of the function.

    Args:
        builder: LLVM's builder.
        value: The LLVM value.
    """

    def __init__(self, builder: Any, value: Any) -> None:
        self._builder, self.value = builder, value

    def __add__(self, other: Vector) -> Vector:
        return Vector(self._builder, self._builder.fadd(self.value, other.value, flags=_FLAGS))

    def __sub__(self, other: Vector) -> Vector:
        return Vector(self._builder, self._builder.fsub(self.value, other.value, flags=_FLAGS))

    def __rmul__(self, number: float) -> Vector:
        factor = ir.Constant(VECTOR, [ir.Constant(FLOAT, float(number))] * WIDTH)
        return Vector(self._builder, self._builder.fmul(factor, self.value, flags=_FLAGS))


def vector_at(builder: Any, base: Any, shift: Any) -> Any:
    """The address of the vector that begins `shift` numbers behind `base`."""
    return builder.bitcast(builder.gep(base, [shift]), ir.PointerType(VECTOR))


def load(builder: Any, base: Any, shift: Any) -> Vector:
    """The vector that begins `shift` numbers behind `base`."""
    return Vector(builder, builder.load(vector_at(builder, base, shift), align=4))


def store(builder: Any, vector: Vector, base: Any, shift: Any) -> None:
    """Write a vector `shift` numbers behind `base`."""
    builder.store(vector.value, vector_at(builder, base, shift), align=4)


def spread(builder: Any, number: Any) -> Any:
    """The LLVM value of a vector of 16 times the same number."""
    nothing = ir.Constant(VECTOR, ir.Undefined)
    single = builder.insert_element(nothing, number, INT32(0))
    return builder.shuffle_vector(single, nothing, ir.Constant(ir.VectorType(INT32, WIDTH), None))


def sum_products(
    builder: Any,
    done: Any,
    places: Sequence[Any],
    bounds: tuple[Any, Any],
    factors: Callable[[Any], tuple[list[Any], list[Any]]],
) -> None:
    """A loop that adds products to sums which stay in registers, then goes to a block.

    Args:
        builder: LLVM's builder, at the end of an open block.
        done: The block that follows.
        places: Addresses of the sums: for every number, those of all vectors.
        bounds: Where the index begins, and ends; it takes one value at least.
        factors: Numbers and vectors for an index, whose products are added.
    """
    before = builder.block
    loop, after = builder.append_basic_block("products"), builder.append_basic_block("store")
    first = [builder.load(place, align=4) for place in places]
    builder.branch(loop)

    builder.position_at_end(loop)
    index = builder.phi(INT64)
    sums = [builder.phi(VECTOR) for _ in places]
    fma = builder.module.declare_intrinsic(f"llvm.fmuladd.v{WIDTH}f32", (), ir.FunctionType(VECTOR, [VECTOR] * 3))
    numbers, vectors = factors(index)
    pairs = [(wide, vector) for wide in [spread(builder, number) for number in numbers] for vector in vectors]
    added = [builder.call(fma, [*pair, total]) for pair, total in zip(pairs, sums, strict=True)]
    following = builder.add(index, INT64(1))
    index.add_incoming(bounds[0], before)
    index.add_incoming(following, loop)
    for total, initial, new in zip(sums, first, added, strict=True):
        total.add_incoming(initial, before)
        total.add_incoming(new, loop)
    builder.cbranch(builder.icmp_signed("<", following, bounds[1]), loop, after)

    builder.position_at_end(after)
    for place, new in zip(places, added, strict=True):
        builder.store(new, place, align=4)
    builder.branch(done)


def data_of(context: Any, builder: Any, signature: Any, arguments: Any) -> list[Any]:
    """The arguments of a function; for a flat array that is followed by an integer, the address of that element."""
    found = list(arguments)
    for i, kind in enumerate(signature.args):
        if isinstance(kind, types.Array):
            data = context.make_array(kind)(context, builder, arguments[i]).data
            is_counted = i + 1 < len(arguments) and isinstance(signature.args[i + 1], types.Integer)
            found[i] = builder.gep(data, [arguments[i + 1]]) if is_counted else data
    return found
