"""The Brier score and its parts.

The score is the mean over examples of sum_c (p_c - o_c)^2, o the one-hot label: the multi-class sum, in [0, 2]. For
each class, examples are put in 15 bins of equal width by p_c. With the share n_b of a bin, its mean forecast p_b, its
observed frequency o_b and the overall frequency o of the class, summed over classes,

    reliability = sum_b n_b (p_b - o_b)^2      resolution = sum_b n_b (o_b - o)^2      uncertainty = o (1 - o)

and Brier = reliability - resolution + uncertainty where the forecasts of a bin are the same; else the spread of
forecasts within bins remains, which is small.

Source: Brier (1950); Murphy (1973), "A new vector partition of the probability score"; Stephenson et al. (2008).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bprune.arrays import Float64Array, IntArray
from bprune.case.task import Task
from bprune.metrics.base import Better, Metric, mean_metric
from bprune.metrics.bins import BINS, equal_width_bins
from bprune.metrics.predictions import ClassPredictions

__all__ = ["BRIER", "RELIABILITY", "RESOLUTION", "UNCERTAINTY"]


def _terms(predictions: ClassPredictions, labels: IntArray) -> Float64Array:
    p = predictions.mean.astype(np.float64)
    of_label = p[np.arange(len(labels)), labels]
    return np.asarray(np.sum(np.square(p), axis=-1) - 2.0 * of_label + 1.0)


@dataclass(frozen=True)
class _Parts:
    """Forecasts and outcomes in bins; a cell is a class and a bin.

    Attributes:
        forecast: Probabilities, `[example, class]`.
        outcome: One-hot labels, `[example, class]`.
        cell: The cell of each, `[example, class]`.
        share: Share of the examples in each cell, `[cell]`.
        mean_forecast: `[cell]`; 0 where the cell is empty.
        mean_outcome: `[cell]`; 0 where the cell is empty.
    """

    forecast: Float64Array
    outcome: Float64Array
    cell: IntArray
    share: Float64Array
    mean_forecast: Float64Array
    mean_outcome: Float64Array

    @classmethod
    def of(cls, predictions: ClassPredictions, labels: IntArray) -> _Parts:
        forecast = predictions.mean.astype(np.float64)
        examples, classes = forecast.shape
        outcome = (labels[:, None] == np.arange(classes)).astype(np.float64)
        cell = equal_width_bins(forecast) + (BINS + 1) * np.arange(classes)
        size = (BINS + 1) * classes
        counts = np.bincount(cell.ravel(), minlength=size)
        sums = [np.bincount(cell.ravel(), item.ravel(), minlength=size) for item in (forecast, outcome)]
        means = [item / np.maximum(counts, 1) for item in sums]
        return cls(forecast, outcome, cell, counts / examples, means[0], means[1])

    @property
    def frequency(self) -> Float64Array:
        return np.asarray(self.outcome.mean(axis=0))

    def reliability(self) -> float:
        return float(np.sum(self.share * np.square(self.mean_forecast - self.mean_outcome)))

    def reliability_influence(self) -> Float64Array:
        gap = (self.mean_forecast - self.mean_outcome)[self.cell]
        terms = 2.0 * gap * (self.forecast - self.outcome) - np.square(gap)
        return np.asarray(terms.sum(axis=-1) - self.reliability())

    def resolution(self) -> float:
        return float(np.sum(self.share * np.square(self.mean_outcome)) - np.sum(np.square(self.frequency)))

    def resolution_influence(self) -> Float64Array:
        rate = self.mean_outcome[self.cell]
        terms = 2.0 * rate * self.outcome - np.square(rate) - 2.0 * self.frequency * self.outcome
        total = terms.sum(axis=-1)
        return np.asarray(total - total.mean())

    def uncertainty(self) -> float:
        return float(1.0 - np.sum(np.square(self.frequency)))

    def uncertainty_influence(self) -> Float64Array:
        terms = -2.0 * (self.outcome * self.frequency).sum(axis=-1)
        return np.asarray(terms - terms.mean())


BRIER = mean_metric("brier", "Brier score", _terms, task=Task.CLASSIFICATION, better=Better.LOWER)
RELIABILITY = Metric(
    "brier_reliability",
    "Brier reliability",
    "1",
    Task.CLASSIFICATION,
    Better.LOWER,
    lambda predictions, labels: _Parts.of(predictions, labels).reliability(),
    lambda predictions, labels: _Parts.of(predictions, labels).reliability_influence(),
)
RESOLUTION = Metric(
    "brier_resolution",
    "Brier resolution",
    "1",
    Task.CLASSIFICATION,
    Better.HIGHER,
    lambda predictions, labels: _Parts.of(predictions, labels).resolution(),
    lambda predictions, labels: _Parts.of(predictions, labels).resolution_influence(),
)
UNCERTAINTY = Metric(
    "brier_uncertainty",
    "Brier uncertainty (of the labels)",
    "1",
    Task.CLASSIFICATION,
    Better.NEITHER,
    lambda predictions, labels: _Parts.of(predictions, labels).uncertainty(),
    lambda predictions, labels: _Parts.of(predictions, labels).uncertainty_influence(),
)
