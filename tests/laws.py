"""Statistical comparison of draws, with a stated false-alarm rate."""

from __future__ import annotations

import numpy as np
from scipy import stats

from bprune.arrays import AnyArray

__all__ = ["FALSE_ALARM", "law_distance", "same_law"]

FALSE_ALARM = 1e-6
"""Probability that one comparison of two samples of the same law fails."""


def law_distance(first: AnyArray, second: AnyArray) -> float:
    """The largest z-score between the means and the variances of two samples of independent draws.

    Args:
        first: `[draw, value]`.
        second: `[draw, value]`, of another number of draws if need be.
    """
    scores = []
    for power in (1, 2):
        a, b = (_powers(np.asarray(item, np.float64), power) for item in (first, second))
        spread = a.var(0, ddof=1) / len(a) + b.var(0, ddof=1) / len(b)
        difference = np.abs(a.mean(0) - b.mean(0))
        scale = np.abs(a.mean(0)) + np.abs(b.mean(0)) + 1e-12
        constant = (spread < 1e-16) & (difference < 1e-5 * scale)  # deterministic values agree up to rounding
        scores.append(np.where(constant, 0.0, difference / np.sqrt(np.maximum(spread, 1e-30))))
    return float(np.max(scores))


def _powers(values: AnyArray, power: int) -> AnyArray:
    return values if power == 1 else np.square(values - values.mean(0))


def same_law(first: AnyArray, second: AnyArray) -> bool:
    """Whether means and variances agree; false with probability FALSE_ALARM at most when the law is the same.

    The bound is Bonferroni's over all values, two-sided, by the normal approximation of means over draws.
    """
    comparisons = 2 * int(np.prod(np.shape(first)[1:]))
    return bool(law_distance(first, second) < stats.norm.isf(FALSE_ALARM / (2 * comparisons)))
