"""Blocks of draws, and the standard error that they give: how much a metric owes to the draws that were made.

All examples share the weights of a draw, so that the errors of their means move together and cannot be added up. The
draws are dealt out to 20 blocks as cards are: draw s belongs to block s mod 20, antithetic pairs stay together. Draws
are independent of each other, so that any rule that does not look at values will do; this one has three properties.
An example with S < 20 draws fills S blocks. Where numbers of draws differ between examples, every block holds the same
draw numbers of all of them, and about the same share of each. And two runs share whole blocks if they share draws,
even when one is longer.

A metric is computed again from balanced halves of the blocks. The 19 ways to choose 10 of 20 blocks are the columns of
a Hadamard matrix, +1 in one half and -1 in the other: every two of them agree in half of the blocks. With f the metric
of one half and of the other,

    stderr^2 = 1/19 sum_k ((f(half k) - f(other half k)) / 2)^2

which for a mean over draws is the variance of block means / 20, exactly. The delete-one-block jackknife would be the
same for means, but not for metrics that jump: leaving out one block moves few examples over a boundary, that is
multiplied by 19, and the standard error of accuracy or of a calibration error comes out two to three times too large. A
half differs from the whole by as much as one run differs from another, so that nothing is multiplied.

Where an example's draws do not fill the blocks evenly, its mean moves to mean +- sum_b (n_b / S) (h_kb - h_k) mean_b
with h_k = sum_b (n_b / S) h_kb, times an amplitude that keeps all weights of blocks above 0 and gives every example
the variance that it has; see `Halves`. Where an example's draws ended when its answer was settled, the error is that
of a run with these numbers of draws.

Source: McCarthy (1969), "Pseudo-replication: half samples"; Plackett and Burman (1946) for the matrix; Efron (1982),
"The jackknife, the bootstrap and other resampling plans", chapter 8; Wu (1986) on what does not jackknife.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from bprune.arrays import AnyArray, Float64Array, IntArray

__all__ = ["BLOCKS", "SIGNS", "Halves", "block_draws", "block_of", "mc_stderr"]

BLOCKS = 20
"""The number of blocks. The standard error itself has a standard error of about 1 / sqrt(2 * 19) = 16 %."""


def _signs() -> IntArray:
    """Columns of Paley's Hadamard matrix of order 20, but the constant one: +1 and -1, `[half, block]`."""
    prime = BLOCKS - 1
    squares = {number * number % prime for number in range(1, prime)}
    steps = np.arange(prime)[:, None] - np.arange(prime)
    jacobsthal = np.where(steps == 0, 0, np.where(np.isin(steps % prime, list(squares)), 1, -1))
    matrix = np.ones((BLOCKS, BLOCKS), np.int64)
    matrix[1:, 0] = -1
    matrix[1:, 1:] = jacobsthal + np.eye(prime, dtype=np.int64)
    return (matrix * matrix[:, :1]).T[1:]


SIGNS = _signs()
"""Which half a block is in, `[half, block]`: every row sums to 0, and so does the product of any two."""


def block_of(draw: int, *, paired: bool = False) -> int:
    """The block that a draw belongs to.

    Args:
        draw: The draw's number, from 0.
        paired: Whether the draws 2k and 2k + 1 are antithetic pairs.
    """
    return (draw // 2 if paired else draw) % BLOCKS


def block_draws(draws: AnyArray, *, paired: bool = False) -> IntArray:
    """How many draws of each example lie in each block.

    Args:
        draws: Number of draws of each example, `[example]`.
        paired: Whether draws are antithetic pairs.

    Returns:
        `[block, example]`.
    """
    size = 2 if paired else 1
    units = np.asarray(draws, np.int64) // size
    blocks = np.arange(BLOCKS)[:, None]
    return np.asarray(size * (units // BLOCKS + (blocks < units % BLOCKS)), np.int64)


@dataclass(frozen=True, eq=False)
class Halves:
    """How much each block weighs in each half.

    Attributes:
        counts: Draws of each example in each block, `[block, example]`.
        amplitude: How far each example moves towards a half, `[example]`, in [0, 1]; 0 where it has but one block.
        scale: What differences between halves are multiplied with: above 1 where amplitudes are below 1, or blocks are
            few. NaN where no example has two blocks.
    """

    counts: IntArray
    amplitude: Float64Array
    scale: float

    @classmethod
    def of(cls, counts: IntArray) -> Halves:
        """The halves for these numbers of draws.

        The amplitude is the largest for which no block of any example weighs less than nothing. Examples with fewer
        blocks move further, by the factor 1 / sqrt(1 - sum_b (n_b / S)^2) in comparison, as their errors are larger.
        """
        share = counts / np.maximum(counts.sum(axis=0), 1)
        rest = 1.0 - np.square(share).sum(axis=0)
        usable = rest > 1e-9
        if not usable.any():
            return cls(counts, np.zeros(counts.shape[1]), math.nan)
        factor = np.divide(1.0, np.sqrt(rest), out=np.zeros(len(rest)), where=usable)
        largest = float(factor.max())
        reach = 1.0 / (1.0 + float(np.abs(SIGNS @ share[:, usable]).max()))
        return cls(counts, factor / largest * reach, largest / reach)

    def weights(self, half: int) -> tuple[Float64Array, Float64Array]:
        """The weights of blocks in one half and in the other, `[block, example]`; they sum to 1 over blocks."""
        share = self.counts / np.maximum(self.counts.sum(axis=0), 1)
        sign = SIGNS[half][:, None]
        step = self.amplitude * (sign - (share * sign).sum(axis=0))
        return np.maximum(share * (1.0 + step), 0.0), np.maximum(share * (1.0 - step), 0.0)


def mc_stderr(differences: Float64Array) -> float:
    """The MC standard error.

    Args:
        differences: Scaled half differences of the metric between the two halves, `[half]`; see
            `bprune.metrics.replicate`.

    Returns:
        The standard error; NaN where there are none.
    """
    if not len(differences):
        return math.nan
    return math.sqrt(float(np.sum(np.square(differences))) / BLOCKS)
