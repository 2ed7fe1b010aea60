"""Negative log-likelihood of the mean over draws (not the mean of the draws' own)."""

from __future__ import annotations

import numpy as np

from bprune.arrays import AnyArray, Float64Array, IntArray
from bprune.case.task import Task
from bprune.metrics.base import Better, mean_metric
from bprune.metrics.predictions import ClassPredictions, ValuePredictions

__all__ = ["CLASS_NLL", "SMALLEST_PROBABILITY", "VALUE_NLL"]

SMALLEST_PROBABILITY = float(np.finfo(np.float32).tiny)
"""Smaller probabilities of a label count as this one, 1.2e-38: no example costs more than 87.3 nats."""


def _class_terms(predictions: ClassPredictions, labels: IntArray) -> Float64Array:
    probability = predictions.mean[np.arange(len(labels)), labels].astype(np.float64)
    return np.asarray(-np.log(np.maximum(probability, SMALLEST_PROBABILITY))) + 0.0


def _value_terms(predictions: ValuePredictions, targets: AnyArray) -> Float64Array:
    return -np.asarray(predictions.log_likelihood, np.float64)


CLASS_NLL = mean_metric(
    "nll", "negative log-likelihood", _class_terms, task=Task.CLASSIFICATION, better=Better.LOWER, unit="nat"
)
"""Mean over examples of -ln(mean probability of the label)."""

VALUE_NLL = mean_metric(
    "nll",
    "negative log-likelihood",
    _value_terms,
    task=Task.REGRESSION,
    better=Better.LOWER,
    unit="nat",
    applies=lambda predictions: predictions.log_likelihood is not None,
)
"""Mean over examples of -ln(1/S sum_s prod_o N(target_o; mean_so, scale_so^2)), an example's outputs jointly.

It needs the draws' likelihoods, which runs keep where the network predicts a scale and targets were known."""
