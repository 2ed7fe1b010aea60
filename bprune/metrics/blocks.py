"""Blocks of draws, and the standard error that they give: how much a metric owes to the draws that were made.

All examples share the weights of a draw, so that the errors of their means move together and cannot be added up. The
draws are dealt out to 20 blocks as cards are: draw s belongs to block s mod 20, antithetic pairs stay together. Draws
are independent of each other, so that any rule that does not look at values will do; this one has three properties.
An example with S < 20 draws fills S blocks. Where numbers of draws differ between examples, every block still holds
the same draw numbers of all of them, and about the same share of each. And two runs share whole blocks if they share
draws, even when one is longer.

A metric is computed again without each block: the delete-one-block jackknife,

    stderr^2 = (B - 1) / B * sum_b (metric_b - metric)^2

where the mean of an example without block b is moved to mean + c (mean_without_b - mean), with the number c of the
example that makes this exact for means whatever the sizes of its blocks:
1 / c^2 = (B - 1) / B * sum_b n_b / (S - n_b). With blocks of one size c = 1. Where an example's draws ended when its
answer was settled, the error is that of a run with these numbers of draws.

Source: Quenouille (1956), Tukey (1958); Busing, Meijer and van der Leeden (1999) for blocks of different sizes.
"""

from __future__ import annotations

import math

import numpy as np

from bprune.arrays import AnyArray, Float64Array, IntArray

__all__ = ["BLOCKS", "block_draws", "block_of", "jackknife_stderr", "shrinkage"]

BLOCKS = 20
"""The number of blocks. The standard error itself has a standard error of 1 / sqrt(2 * 19) = 16 %."""


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


def shrinkage(counts: IntArray) -> Float64Array:
    """The number c of each example, which makes the jackknife exact for its mean; 0 where one block holds all draws.

    Args:
        counts: Draws of each example in each block, `[block, example]`.
    """
    blocks, total = len(counts), counts.sum(axis=0)
    rest = total - counts
    terms = np.divide(counts, rest, out=np.zeros(counts.shape), where=rest > 0)
    inverse = (blocks - 1) / max(blocks, 1) * terms.sum(axis=0)
    usable = (rest > 0).all(axis=0) & (inverse > 0.0)
    return np.asarray(np.divide(1.0, np.sqrt(inverse), out=np.zeros(len(inverse)), where=usable))


def jackknife_stderr(value: float, replicates: list[float]) -> float:
    """The MC standard error.

    Args:
        value: The metric of all draws.
        replicates: The metric without each block.

    Returns:
        The standard error; NaN for fewer than two blocks.
    """
    blocks = len(replicates)
    if blocks < 2:
        return math.nan
    return math.sqrt((blocks - 1) / blocks * float(np.sum(np.square(np.asarray(replicates) - value))))
