"""Whether uncertainty tells examples of another kind from those of the data set: the area under the ROC curve.

AUROC is the probability that an out-of-distribution example has a higher score than one of the data set, ties as
half. Its standard error of finite data is DeLong's, from the placements of both sets.

Source: DeLong, DeLong and Clarke-Pearson (1988); Hendrycks and Gimpel (2017) for the use.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
from scipy.stats import rankdata

from bprune.arrays import AnyArray, Float64Array
from bprune.metrics.blocks import mc_stderr
from bprune.metrics.estimate import Estimate
from bprune.metrics.predictions import ClassPredictions

__all__ = ["OOD_SCORES", "auroc", "ood_auroc"]

OOD_SCORES: Mapping[str, Callable[[ClassPredictions], Float64Array]] = {
    "ood_auroc_entropy": lambda predictions: predictions.predictive_entropy,
    "ood_auroc_mutual_information": lambda predictions: predictions.mutual_information,
}
"""The uncertainty that is the score, by the metric's name."""


def auroc(negative: AnyArray, positive: AnyArray) -> tuple[float, float]:
    """The area under the ROC curve and its standard error.

    Args:
        negative: Scores of one set, `[example]`.
        positive: Scores of the set that should have the higher ones, `[example]`.

    Returns:
        The area in [0, 1], and DeLong's standard error; NaN if a set has one example.
    """
    m, n = len(positive), len(negative)
    ranks = rankdata(np.concatenate([positive, negative]))
    above = (ranks[:m] - rankdata(positive)) / n  # share of the negative ones below each positive one
    below = 1.0 - (ranks[m:] - rankdata(negative)) / m
    value = float(above.mean())
    if min(m, n) < 2:
        return value, math.nan
    return value, math.sqrt(float(np.var(above, ddof=1)) / m + float(np.var(below, ddof=1)) / n)


def ood_auroc(predictions: ClassPredictions, ood: ClassPredictions) -> dict[str, Estimate]:
    """How well each uncertainty tells out-of-distribution examples from those of the data set.

    Args:
        predictions: Predictions of the data set.
        ood: Predictions of the same network for examples of another kind.

    Returns:
        An estimate for each of `OOD_SCORES`. Without blocks the MC standard error is NaN.
    """
    scale = max(predictions.half_scale, ood.half_scale)
    found = {}
    pairs = list(zip(predictions.halves(), ood.halves(), strict=False))
    for name, score in OOD_SCORES.items():
        value, stderr = auroc(score(predictions), score(ood))
        steps = [
            scale / 2.0 * (auroc(score(one), score(ood_one))[0] - auroc(score(other), score(ood_other))[0])
            for (one, other), (ood_one, ood_other) in pairs
        ]
        found[name] = Estimate(value, stderr, mc_stderr(np.array(steps)))
    return found
