"""Mean and spread over draws, kept while the draws pass by.

Draws are added one by one, so that the result is the same to the last bit however they come in chunks.

Source: Welford (1962), "Note on a method for calculating corrected sums of squares and products".
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from bprune.arrays import AnyArray, Float64Array, FloatArray
from bprune.errors import UsageError

__all__ = ["Spread", "check_same"]


@dataclass(frozen=True)
class Spread:
    """Running mean and spread of values over draws.

    Attributes:
        draws: Number of draws so far.
        mean: Mean over draws, `[example, value]`, float64.
        squares: Sum over draws of squared deviations from `mean`, `[example, value]`, float64.
        pair_squares: Sum over antithetic pairs of squared deviations of the pair's mean from `mean`,
            `[example, value]`, float64; None when draws are independent.
    """

    draws: int
    mean: Float64Array
    squares: Float64Array
    pair_squares: Float64Array | None = None

    @classmethod
    def start(cls, examples: int, values: int, *, paired: bool = False) -> Spread:
        """The spread of no draws.

        Args:
            examples: Number of examples.
            values: Numbers per example.
            paired: Whether draws come in antithetic pairs, one after the other.
        """
        zeros = np.zeros((examples, values))
        return cls(0, zeros, zeros, zeros if paired else None)

    def update(self, values: FloatArray) -> Spread:
        """This spread with more draws.

        Args:
            values: `[draw, example, value]`.

        Raises:
            UsageError: If the draws are of another shape, or a pair is not complete.
        """
        check_same(values.shape[1:], self.mean.shape)
        if not len(values):
            return self
        paired = self.pair_squares is not None
        if paired and len(values) % 2:
            raise UsageError(f"{len(values)} draws do not make antithetic pairs; give an even number at a time")
        mean, squares = self.mean.copy(), self.squares.copy()
        pair_squares = None if self.pair_squares is None else self.pair_squares.copy()
        step, part, before = np.empty_like(mean), np.empty_like(mean), mean
        for index, value in enumerate(values):
            if paired and index % 2 == 0:
                before = mean.copy()
            count = self.draws + index + 1
            np.subtract(value, mean, out=step)
            np.divide(step, count, out=part)
            mean += part
            np.square(step, out=step)
            step *= (count - 1) / count
            squares += step
            if pair_squares is not None and index % 2:
                pair = np.add(values[index - 1], value, dtype=np.float64) / 2.0
                pair_squares += np.square(pair - before) * ((count - 2) / count)
        return Spread(self.draws + len(values), mean, squares, pair_squares)

    def deviations(self) -> tuple[Float64Array, Float64Array]:
        """Standard deviation of one draw, and standard error of the mean; both 0 where nothing repeats.

        The variance of a draw is squares / draws + the squared standard error, without bias for independent draws
        (where it is squares / (draws - 1)) and for pairs, whose draws depend on each other.

        Raises:
            UsageError: If there are no draws yet.
        """
        if not self.draws:
            raise UsageError("there are no draws to summarise; call update first")
        deviation, stderr, _ = self.observed()
        if self.pair_squares is None:
            return deviation, stderr
        return np.sqrt(self.squares / self.draws + np.square(stderr)), stderr

    def observed(self) -> tuple[Float64Array, Float64Array, int]:
        """The independent observations: draws, or the means of pairs.

        Returns:
            Their sample standard deviation (ddof 1), the standard error of the mean, and their number.
        """
        squares, count = (
            (self.squares, self.draws) if self.pair_squares is None else (self.pair_squares, self.draws // 2)
        )
        deviation = np.sqrt(squares / max(count - 1, 1))
        return deviation, deviation / math.sqrt(max(count, 1)), count

    def take(self, rows: AnyArray) -> Spread:
        """The spread of some examples.

        Args:
            rows: Positions of the examples, `[row]`.
        """
        pairs = None if self.pair_squares is None else self.pair_squares[rows]
        return Spread(self.draws, self.mean[rows], self.squares[rows], pairs)


def check_same(shape: tuple[int, ...], expected: tuple[int, ...]) -> None:
    """Refuse draws of other examples or values.

    Raises:
        UsageError: If the shapes differ.
    """
    if shape != expected:
        raise UsageError(f"draws of the shape {shape} do not fit statistics of the shape {expected}")
