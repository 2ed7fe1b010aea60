"""Central predictive intervals of a regression: how many targets they hold, and how wide they are.

The interval of an output is mean +- z stddev with the total predictive standard deviation, the normal approximation
of the mixture over draws. Where the network predicts no scale it holds the spread over draws alone, and covers too
little.
"""

from __future__ import annotations

import numpy as np
from scipy.stats import norm

from bprune.arrays import AnyArray, Float64Array
from bprune.case.task import Task
from bprune.metrics.base import Better, Metric, mean_metric
from bprune.metrics.predictions import ValuePredictions

__all__ = ["LEVELS", "coverage", "width"]

LEVELS = (50, 90, 95)
"""Percent of the predictive law inside of the intervals."""


def _reach(level: int) -> float:
    return float(norm.ppf(0.5 + level / 200.0))


def coverage(level: int) -> Metric:
    """Share of the targets inside of their interval, over examples and outputs; ideally level / 100.

    Args:
        level: Percent, between 0 and 100.
    """

    def terms(predictions: ValuePredictions, targets: AnyArray) -> Float64Array:
        distance = np.abs(predictions.mean - targets.astype(np.float64))
        return np.asarray(np.mean(distance <= _reach(level) * predictions.stddev, axis=-1))

    title = f"coverage of {level} % intervals"
    return mean_metric(f"coverage_{level}", title, terms, task=Task.REGRESSION, better=Better.NEITHER)


def width(level: int) -> Metric:
    """Mean width of the intervals, over examples and outputs.

    Args:
        level: Percent, between 0 and 100.
    """

    def terms(predictions: ValuePredictions, targets: object) -> Float64Array:
        return np.asarray(2.0 * _reach(level) * np.mean(predictions.stddev, axis=-1))

    return mean_metric(
        f"width_{level}",
        f"width of {level} % intervals",
        terms,
        task=Task.REGRESSION,
        better=Better.NEITHER,
        unit="target",
        needs_labels=False,
    )
