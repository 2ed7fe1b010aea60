"""How large the true worsening of a metric may be: one-sided upper confidence bounds of a paired difference.

Two errors are combined as Zou and Donner (2008) do, by the squares of the distances between bound and estimate: that
of finite data, and that of finite draws. That of the data is a t interval, but for accuracy: few predictions change, so
that a multiple of its standard error is a poor bound. There the bound is the score interval of Tango (1998)
for the difference of two paired proportions; without a single change it is z^2 / (N + z^2) and not 0.

Source: Tango, "Equivalence test and confidence interval for the difference in proportions for the paired-sample
design", Statistics in Medicine 17 (1998); Zou and Donner, "Construction of confidence limits about effect measures",
Statistics in Medicine 27 (2008).
"""

from __future__ import annotations

import math

from scipy.optimize import brentq
from scipy.stats import norm, t

from bprune.metrics.estimate import Estimate

__all__ = ["paired_proportion_bound", "upper_bound"]


def upper_bound(
    worsening: Estimate, examples: int, blocks: int, error_rate: float, *, is_proportion: bool = False
) -> float:
    """The upper confidence bound of a worsening.

    Args:
        worsening: The paired difference, positive where the metric got worse, with its standard errors, as
            `bprune.metrics.evaluate_difference` gives them.
        examples: Number of examples.
        blocks: Number of blocks of draws behind the MC standard error.
        error_rate: Probability, about, that the true worsening is above the bound.
        is_proportion: Whether the metric is a share of the examples, such as accuracy.

    Returns:
        The bound; infinite where one of the errors is not known.
    """
    if examples < 2 or blocks < 2 or math.isnan(worsening.value + worsening.data_stderr + worsening.mc_stderr):
        return math.inf
    if is_proportion:
        lost, won = _counts(worsening, examples)
        data = paired_proportion_bound(lost, won, examples, error_rate) - worsening.value
    else:
        data = float(t.isf(error_rate, examples - 1)) * worsening.data_stderr
    draws = float(t.isf(error_rate, blocks - 1)) * worsening.mc_stderr
    return worsening.value + math.hypot(max(data, 0.0), draws)


def _counts(worsening: Estimate, examples: int) -> tuple[int, int]:
    """The changes behind a difference of shares: `bprune.metrics.base.paired_share_stderr` backwards."""
    total, count = worsening.value * examples, examples + 2
    changed = (worsening.data_stderr * count) ** 2 + total**2 / count - 1.0
    return round((changed + total) / 2.0), round((changed - total) / 2.0)


def paired_proportion_bound(lost: int, won: int, examples: int, error_rate: float) -> float:
    """The upper score bound of the difference of two paired proportions, (lost - won) / examples.

    Args:
        lost: Examples that count before and no longer do.
        won: Examples that count now and did not before.
        examples: All examples.
        error_rate: Probability, about, that the true difference is above the bound.

    Returns:
        The bound, at most 1.
    """
    z = float(norm.isf(error_rate))
    difference = (lost - won) / examples

    def excess(bound: float) -> float:
        """How many standard deviations, at this true difference, the observed one lies below it, minus z."""
        linear = (2.0 * examples - lost + won) * bound - lost - won  # of the constrained maximum of the likelihood
        constant = -won * bound * (1.0 - bound)
        share = (math.sqrt(max(linear**2 - 8.0 * examples * constant, 0.0)) - linear) / (4.0 * examples)
        variance = examples * (2.0 * share + bound * (1.0 - bound))
        return (examples * bound - lost + won) / math.sqrt(variance) - z if variance > 0.0 else -z

    top = 1.0 - 1e-9
    if difference >= top or excess(top) <= 0.0:
        return 1.0
    return float(brentq(excess, difference, top, xtol=1e-9))
