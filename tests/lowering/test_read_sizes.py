"""Sizes that depend on the number of examples compute as their values do, or refuse."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bprune.lowering.read.sizes import Size, SizeLike, broadcast, product, quotient, sizes_of, tidy

numbers = st.integers(-6, 6)
sizes = st.builds(lambda a, b: Size(a, b) if a else b, numbers, numbers)
OPERATIONS: list[Callable[[Any, Any], Any]] = [
    operator.add,
    operator.sub,
    operator.mul,
    operator.floordiv,
    operator.mod,
]


def value(size: SizeLike, examples: int) -> int:
    return size.per_example * examples + size.constant if isinstance(size, Size) else int(size)


@settings(deadline=None)
@given(sizes, sizes, st.sampled_from(OPERATIONS))
def test_arithmetic_holds_for_every_number_of_examples(first: Any, second: Any, operation: Any) -> None:
    try:
        result = operation(first, second)
    except (ValueError, ZeroDivisionError):
        return
    for examples in (13, 17, 101):
        a, b = value(first, examples), value(second, examples)
        if b or operation not in {operator.floordiv, operator.mod}:
            assert value(result, examples) == operation(a, b)


def test_what_depends_on_the_number_is_refused() -> None:
    n = Size(1)
    questions: list[Callable[[], Any]] = [
        lambda: n * n,
        lambda: n // 2,
        lambda: 7 // n,
        lambda: bool(n),
        lambda: n < 3,
        lambda: int(n),
        lambda: float(n),
        lambda: quotient(7, 2),
        lambda: quotient(n, 0),
        lambda: broadcast((n, 3), (4, 3)),
        lambda: sizes_of(np.zeros((2, 2), np.int64)),
        lambda: sizes_of(np.zeros(2, np.float32)),
    ]
    for ask in questions:
        with pytest.raises(ValueError, match=r"size|number of examples|arranged|fit together|shape"):
            ask()


def test_numbers_cancel() -> None:
    n = Size(1)
    assert (2 * n * 3 + 6) // 6 == n + 1
    assert product([n, 7, 2]) == Size(14)
    assert quotient(Size(14), n) == 14
    assert quotient(Size(14), 7) == 2 * n
    assert n - n == 0
    assert broadcast((n, 1, 3), (1, 4, 1)) == (n, 4, 3)
    assert broadcast((3,), (n, 1)) == (n, 3)
    assert tidy(np.asarray([n - n, n // n], object)).dtype == np.int64
    assert tidy(np.asarray([n, 3], object)).dtype == object
