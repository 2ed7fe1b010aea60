"""How a grid of examples and draws is divided into calls."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

__all__ = ["Share", "divide"]

_DIVIDED_DRAWS = 0.75
"""What dividing draws is worth beside dividing examples: all draws have to travel, and one process adds them up."""


@dataclass(frozen=True, order=True)
class Share:
    """Some draws of some examples.

    Attributes:
        start: The first example.
        stop: The example behind the last one.
        draws_start: The first draw.
        draws_stop: The draw behind the last one.
    """

    start: int
    stop: int
    draws_start: int
    draws_stop: int


def divide(
    examples: int,
    draws: int,
    *,
    workers: int,
    most: int,
    least: int = 1,
    example_unit: int = 1,
    draw_unit: int | None = 1,
) -> tuple[Share, ...]:
    """Divide draws of examples into shares of about the same size, so that workers end together.

    Args:
        examples: Number of examples, at least 1.
        draws: Number of draws, at least 1.
        workers: How many shares are worked on at a time.
        most: How many shares there may be.
        least: How many there are at least, where examples and draws can be divided so far.
        example_unit: Examples that stay together; a share begins at a multiple of it.
        draw_unit: Draws that stay together; None for all.

    Returns:
        The shares by example, then by draw.
    """
    units = math.ceil(examples / example_unit)
    draw_units = 1 if draw_unit is None else math.ceil(draws / draw_unit)

    def value(parts: tuple[int, int]) -> tuple[float, float, int, int]:
        rows, columns = parts
        enough = min(rows * columns / least, 1.0)
        rounds = math.ceil(rows * columns / workers)
        largest = math.ceil(units / rows) * math.ceil(draw_units / columns)
        efficiency = units * draw_units / (workers * rounds * largest)
        return (enough, efficiency * (1.0 if columns == 1 else _DIVIDED_DRAWS), rows * columns, rows)

    grid = [
        (rows, columns)
        for rows in range(1, min(units, most) + 1)
        for columns in range(1, min(draw_units, max(most // rows, 1)) + 1)
    ]
    rows, columns = max(grid, key=value)
    return tuple(
        Share(start, stop, first, last)
        for start, stop in _cut(examples, units, example_unit, rows)
        for first, last in _cut(draws, draw_units, draw_unit or draws, columns)
    )


def _cut(total: int, units: int, unit: int, parts: int) -> list[tuple[int, int]]:
    """Ranges of whole units, nearly the same number in each."""
    edges = [min(total, units * part // parts * unit) for part in range(parts + 1)]
    return list(itertools.pairwise(edges))
