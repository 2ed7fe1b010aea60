"""The rank-sum test of two samples that differ by rounding, row by row, and what it can detect.

The test (Wilcoxon 1945; Mann and Whitney 1947) needs no assumption about the law: where both samples have the same law,
every assignment of the pooled values to the two samples is equally probable. What is particular here:

- Two engines that compute the same number differ by rounding. Each value comes with a slack, its largest possible
  rounding error, and the test counts evidence that slack cannot explain: for "the first is smaller" the first sample
  is lifted by its slack and the second lowered, and the other way round. A point mass is then no special case; the
  price is that where a share m of both samples is one point, P(X > Y) has to be off by m^2 / 2 more.
- Equal sample sizes make the law of the statistic symmetric whatever the ties are. Its tail is bounded by the normal
  one after a continuity correction of half the largest step between neighbouring ranks; tests/inference compare it with
  the exact tail down to 1e-12.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import stats

from bprune.arrays import AnyArray, Float64Array
from bprune.errors import UsageError

__all__ = ["MIN_DRAWS", "POWER", "Ranks", "detectable", "midranks", "normal_tail", "rank_sum"]

MIN_DRAWS = 100
"""The least sample size for which the normal tail was compared with the exact one."""

POWER = 0.95
"""The probability with which a detectable effect is found."""


@dataclass(frozen=True)
class Ranks:
    """Rank-sum tests of some rows.

    Attributes:
        score: The evidence against one law, in standard deviations, two-sided, at least 0, `[row]`, float64.
        low: Pooled ranks when the first sample is lifted and the second lowered, in [0, 1], the first sample's before
            the second's, `[row, 2 draw]`, float64.
        high: The same the other way round.
    """

    score: Float64Array
    low: Float64Array
    high: Float64Array

    @property
    def slack(self) -> Float64Array:
        """By how much slack may move P(X > Y), `[row]`, float64: half of what lies between `low` and `high`."""
        draws = self.low.shape[1] // 2
        moved = self.low - self.high
        return np.asarray((np.mean(moved[:, :draws], axis=1) - np.mean(moved[:, draws:], axis=1)) / 2.0)


def rank_sum(pooled: Float64Array, slack: Float64Array) -> Ranks:
    """Test row by row whether two samples have one law, against a shift.

    Args:
        pooled: Independent draws of the first sample, then as many of the second, `[row, 2 draw]`.
        slack: The largest rounding error of each value, at least 0, of the same shape.

    Raises:
        UsageError: If there are fewer than MIN_DRAWS draws of each sample.
    """
    size = pooled.shape[1]
    if size < 2 * MIN_DRAWS:
        raise UsageError(f"{size // 2} draws are too few to compare laws; at least {MIN_DRAWS} are needed")
    sign = np.where(np.arange(size) < size // 2, 1.0, -1.0)
    low, low_step = midranks(pooled + sign * slack)
    high, high_step = midranks(pooled - sign * slack)
    score = np.maximum(_evidence(low, low_step, -1.0), _evidence(high, high_step, 1.0))
    return Ranks(score, (low - 0.5) / size, (high - 0.5) / size)


def midranks(rows: AnyArray) -> tuple[Float64Array, Float64Array]:
    """Ranks from 1 within each row; equal values share the mean of their ranks.

    Returns:
        The ranks, `[row, element]`, float64, and the largest step between neighbouring ones, `[row]`.
    """
    order = np.argsort(rows, axis=1)
    ordered = np.take_along_axis(rows, order, axis=1)
    begins = np.ones(rows.shape, bool)
    begins[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    ends = np.ones(rows.shape, bool)
    ends[:, :-1] = begins[:, 1:]
    positions = np.arange(rows.shape[1])
    first = np.maximum.accumulate(np.where(begins, positions, 0), axis=1)
    last = np.minimum.accumulate(np.where(ends, positions, rows.shape[1])[:, ::-1], axis=1)[:, ::-1]
    shared = (first + last) / 2.0 + 1.0
    ranks = np.empty(rows.shape)
    np.put_along_axis(ranks, order, shared, axis=1)
    return ranks, np.max(np.diff(shared, axis=1), axis=1)


def _evidence(ranks: Float64Array, step: Float64Array, sign: float) -> Float64Array:
    """How far the first half's rank sum is off in one direction, in standard deviations, at least 0, `[row]`.

    Given the pooled values, the sum of n of N ranks drawn without replacement has the variance
    n (N - n) / (N (N - 1)) sum (rank - mean)^2, which accounts for ties.
    """
    size = ranks.shape[1]
    draws = size // 2
    centred = ranks - (size + 1) / 2.0
    stddev = np.sqrt(draws / (2.0 * (size - 1)) * np.sum(np.square(centred), axis=1))
    excess = np.maximum(sign * np.sum(centred[:, :draws], axis=1) - step / 2.0, 0.0)
    return np.asarray(np.divide(excess, stddev, out=np.zeros_like(excess), where=stddev > 0.0))


def normal_tail(score: AnyArray) -> Float64Array:
    """The two-sided p-value of a score, `2 (1 - Phi(score))`."""
    return np.asarray(2.0 * stats.norm.sf(score), np.float64)


def detectable(threshold: float, stddev: float, slack: float = 0.0) -> tuple[float, float, float]:
    """The effects that a rank comparison finds with the probability POWER, for normal laws.

    With d = P(X > Y) - 1/2, which the comparison estimates with the given standard deviation, a shift by s standard
    deviations gives d = Phi(s / sqrt 2) - 1/2; a ratio r of standard deviations gives, for |X| and |Y|,
    d = 2/pi atan(r) - 1/2; and a correlation c gives, for products of two standardised values, d ~ c / 4, because
    the score of c at 0 is the product itself and the difference of two products has the Laplace law of scale 1.

    Args:
        threshold: The score, in standard deviations, above which the comparison fails.
        stddev: The standard deviation of the estimate of d.
        slack: What has to be overcome besides, because rounding may explain it; in terms of d.

    Returns:
        The shift in standard deviations, the ratio of standard deviations (above 1; its inverse is found as well) and
        the difference of correlations near 0; infinite where no effect of that kind is found.
    """
    effect = (threshold + float(stats.norm.ppf(POWER))) * stddev + slack
    if effect >= 0.5:
        return math.inf, math.inf, math.inf
    shift = math.sqrt(2.0) * float(stats.norm.ppf(0.5 + effect))
    ratio = math.tan(math.pi / 2.0 * (0.5 + effect))
    return shift, ratio, 4.0 * effect if 4.0 * effect < 1.0 else math.inf
