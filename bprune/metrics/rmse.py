"""Root mean squared error of the predictive mean."""

from __future__ import annotations

import math

import numpy as np

from bprune.arrays import AnyArray, Float64Array
from bprune.case.task import Task
from bprune.metrics.base import Better, Metric
from bprune.metrics.predictions import ValuePredictions

__all__ = ["RMSE"]


def _squares(predictions: ValuePredictions, targets: AnyArray) -> Float64Array:
    """Mean over outputs of the squared error, `[example]`."""
    return np.asarray(np.mean(np.square(predictions.mean - targets.astype(np.float64)), axis=-1))


def _value(predictions: ValuePredictions, targets: AnyArray) -> float:
    return math.sqrt(float(np.mean(_squares(predictions, targets))))


def _influence(predictions: ValuePredictions, targets: AnyArray) -> Float64Array:
    squares = _squares(predictions, targets)
    mean = float(squares.mean())
    return (squares - mean) / (2.0 * math.sqrt(mean)) if mean > 0.0 else np.zeros(len(squares))


RMSE = Metric("rmse", "root mean squared error", "target", Task.REGRESSION, Better.LOWER, _value, _influence)
"""sqrt of the mean over examples and outputs of (mean - target)^2."""
