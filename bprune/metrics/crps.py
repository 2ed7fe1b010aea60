"""The continuous ranked probability score of a normal predictive law.

With z = (target - mean) / stddev, crps = stddev (z (2 Phi(z) - 1) + 2 phi(z) - 1 / sqrt(pi)); |target - mean| for a
standard deviation of 0. The normal law has the mean and the total standard deviation over draws.

Source: Gneiting and Raftery (2007), "Strictly proper scoring rules, prediction, and estimation", eq. 21, as a loss.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.special import ndtr

from bprune.arrays import AnyArray, Float64Array
from bprune.case.task import Task
from bprune.metrics.base import Better, mean_metric
from bprune.metrics.predictions import ValuePredictions

__all__ = ["CRPS"]


def _terms(predictions: ValuePredictions, targets: AnyArray) -> Float64Array:
    error = targets.astype(np.float64) - predictions.mean
    sigma = predictions.stddev
    z = np.divide(error, sigma, out=np.zeros(error.shape), where=sigma > 0.0)
    density = np.exp(-0.5 * np.square(z)) / math.sqrt(2.0 * math.pi)
    score = sigma * (z * (2.0 * ndtr(z) - 1.0) + 2.0 * density - 1.0 / math.sqrt(math.pi))
    return np.asarray(np.mean(np.where(sigma > 0.0, score, np.abs(error)), axis=-1))


CRPS = mean_metric(
    "crps",
    "continuous ranked probability score",
    _terms,
    task=Task.REGRESSION,
    better=Better.LOWER,
    unit="target",
)
"""Mean over examples and outputs."""
