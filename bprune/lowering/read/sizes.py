"""Sizes that depend on the number of examples, so that a graph's arithmetic on shapes can be followed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bprune.arrays import AnyArray

__all__ = ["Size", "SizeLike", "ViewShape", "broadcast", "product", "quotient", "row_of", "sizes_of", "tidy"]


@dataclass(frozen=True)
class Size:
    """`per_example * N + constant`, where N is the number of examples.

    Arithmetic gives a plain int where N cancels, and raises where the result has not this form: a comparison with a
    number, for example, has no answer that holds for every N.
    """

    per_example: int
    constant: int = 0

    def __add__(self, other: Any) -> SizeLike:
        a, b = _parts(other)
        return _size(self.per_example + a, self.constant + b)

    __radd__ = __add__

    def __neg__(self) -> SizeLike:
        return _size(-self.per_example, -self.constant)

    def __sub__(self, other: Any) -> SizeLike:
        a, b = _parts(other)
        return _size(self.per_example - a, self.constant - b)

    def __rsub__(self, other: Any) -> SizeLike:
        a, b = _parts(other)
        return _size(a - self.per_example, b - self.constant)

    def __mul__(self, other: Any) -> SizeLike:
        a, b = _parts(other)
        if a:
            raise ValueError("the square of the number of examples is no size")
        return _size(self.per_example * b, self.constant * b)

    __rmul__ = __mul__

    def __floordiv__(self, other: Any) -> SizeLike:
        a, b = _parts(other)
        if a:
            factor = self.per_example // a
            if (a * factor, b * factor) == (self.per_example, self.constant):
                return factor
        elif b and self.per_example % b == 0:
            return _size(self.per_example // b, self.constant // b)
        raise ValueError("a size does not divide the other for every number of examples")

    def __rfloordiv__(self, other: Any) -> SizeLike:
        if int(other) == 0:
            return 0
        raise ValueError("a number is divided by the number of examples")

    def __mod__(self, other: Any) -> SizeLike:
        rest: SizeLike = self - (self // other) * other
        return rest

    def __rmod__(self, other: Any) -> SizeLike:
        return self.__rfloordiv__(other)  # 0, or refused

    def __bool__(self) -> bool:
        raise ValueError("whether a size is 0 depends on the number of examples")

    def __lt__(self, other: Any) -> bool:
        raise ValueError("the order of sizes depends on the number of examples")

    __le__ = __gt__ = __ge__ = __lt__

    def __int__(self) -> int:
        raise ValueError("a size that depends on the number of examples is used as a number")

    def __float__(self) -> float:
        raise ValueError("a size that depends on the number of examples is used as a number")


SizeLike = int | Size
"""A size of an axis."""

ViewShape = tuple[SizeLike, ...]
"""A shape with the example axis in it."""


def _size(per_example: int, constant: int) -> SizeLike:
    return Size(per_example, constant) if per_example else constant


def _parts(other: Any) -> tuple[int, int]:
    if isinstance(other, Size):
        return other.per_example, other.constant
    if isinstance(other, (int, np.integer)):
        return 0, int(other)
    raise TypeError(f"a size cannot be combined with {type(other).__name__}")


def product(sizes: Iterable[SizeLike]) -> SizeLike:
    """The product; 1 of nothing."""
    result: SizeLike = 1
    for size in sizes:
        result = result * size
    return result


def quotient(whole: SizeLike, part: SizeLike) -> SizeLike:
    """`whole / part`, which must come out even.

    Raises:
        ValueError: If it does not.
    """
    if part == 0:
        raise ValueError("a size is divided by 0")
    result = whole // part
    if result * part != whole:
        raise ValueError(f"{whole} elements cannot be arranged in rows of {part}")
    return result


def tidy(array: AnyArray) -> AnyArray:
    """Sizes as plain integers where none depends on the number of examples."""
    if array.dtype != object:
        return array
    flat = array.reshape(-1)
    return array if any(isinstance(item, Size) for item in flat) else array.astype(np.int64)


def row_of(sizes: Sequence[SizeLike]) -> AnyArray:
    """A shape as a shape vector."""
    if not len(sizes):
        return np.zeros(0, np.int64)
    row = np.empty(len(sizes), object)
    row[:] = list(sizes)
    return tidy(row)


def sizes_of(array: AnyArray) -> ViewShape:
    """A shape vector's elements.

    Raises:
        ValueError: If it holds what is no size.
    """
    flat = np.atleast_1d(array)
    if flat.ndim != 1 or not (flat.dtype == object or flat.dtype.kind in "iu") or flat.size > 64:
        raise ValueError("a shape is a short row of integers")
    return tuple(item if isinstance(item, Size) else int(item) for item in flat)


def broadcast(first: Sequence[SizeLike], second: Sequence[SizeLike]) -> ViewShape:
    """The shape to which two are stretched.

    Raises:
        ValueError: If they do not fit together for every number of examples.
    """
    rank = max(len(first), len(second))
    result: list[SizeLike] = []
    for a, b in zip(
        (1,) * (rank - len(first)) + tuple(first), (1,) * (rank - len(second)) + tuple(second), strict=True
    ):
        if a != b and a != 1 and b != 1:
            raise ValueError(f"the shapes {_text(first)} and {_text(second)} do not fit together")
        result.append(b if a == 1 else a)
    return tuple(result)


def _text(shape: Sequence[SizeLike]) -> str:
    return "[" + ", ".join("examples" if isinstance(size, Size) else str(size) for size in shape) + "]"
