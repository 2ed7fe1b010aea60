"""How a grid of examples and draws is divided."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bprune.scale import Share, divide


@settings(deadline=None, max_examples=80)
@given(
    examples=st.integers(1, 300),
    draws=st.integers(1, 60),
    workers=st.integers(1, 9),
    most=st.integers(1, 40),
    unit=st.integers(1, 70),
    draw_unit=st.sampled_from([1, 2, None]),
)
def test_shares_cover_the_grid_once_in_order(
    examples: int, draws: int, workers: int, most: int, unit: int, draw_unit: int | None
) -> None:
    shares = divide(examples, draws, workers=workers, most=most, example_unit=unit, draw_unit=draw_unit)
    cells = [(e, d) for s in shares for e in range(s.start, s.stop) for d in range(s.draws_start, s.draws_stop)]
    assert len(cells) == len(set(cells)) == examples * draws
    assert list(shares) == sorted(shares)
    assert 1 <= len(shares) <= most
    assert all(share.start % unit == 0 for share in shares)
    assert all(share.draws_start % (draw_unit or draws) == 0 for share in shares)


@pytest.mark.parametrize(
    ("examples", "workers", "most", "parts"),
    [
        (10, 2, 8, (2, 1)),  # halves of the examples, and no more than are even
        (1, 2, 8, (1, 8)),  # one block of examples: its draws
        (5, 2, 8, (5, 1)),  # uneven, but better than to send all draws around
        (5, 4, 4, (1, 4)),  # too uneven
        (64, 4, 16, (16, 1)),
    ],
)
def test_examples_are_divided_rather_than_draws(examples: int, workers: int, most: int, parts: tuple[int, int]) -> None:
    shares = divide(examples, 400, workers=workers, most=most)
    assert (len({share.start for share in shares}), len({share.draws_start for share in shares})) == parts


def test_large_results_are_divided_further() -> None:
    assert len(divide(64, 400, workers=1, most=16, least=10)) >= 10
    assert divide(1, 1, workers=1, most=16, least=10) == (Share(0, 1, 0, 1),)
