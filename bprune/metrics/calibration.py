"""Calibration errors: how far the confidence of the most probable class is from how often it is right.

With confidence c (the largest mean probability) and hit h of each example, a bin b has D_b = mean over all examples of
(h - c) where they lie in b, and P_b = share of the examples in b.

- ECE, the expected calibration error, is sum_b |D_b| over 15 bins of equal width (Naeini et al. 2015; Guo et al. 2017),
  as torchmetrics computes it with norm="l1".
- MCE, the maximum calibration error, is max_b |D_b| / P_b over the same bins, torchmetrics' norm="max".
- ACE, the adaptive calibration error of the top class, is sum_b |D_b| over 15 bins that hold the same number of
  examples (Nguyen and O'Connor 2015; Nixon et al. 2019).

Chance alone makes |D_b| larger than 0: all three are above 0 for a perfectly calibrated network, by about
sqrt(bins / examples). Standard errors take bins and signs of D_b as given.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bprune.arrays import Float64Array, IntArray
from bprune.case.task import Task
from bprune.metrics.accuracy import hits
from bprune.metrics.base import Better, Metric
from bprune.metrics.bins import BINS, equal_mass_bins, equal_width_bins
from bprune.metrics.predictions import ClassPredictions

__all__ = ["ACE", "ECE", "MCE"]


@dataclass(frozen=True)
class _Binned:
    """Gaps of examples, in bins.

    Attributes:
        gap: Hit minus confidence, `[example]`.
        bin: The bin of each example, `[example]`.
        gaps: D_b, `[bin]`.
        shares: P_b, `[bin]`.
    """

    gap: Float64Array
    bin: IntArray
    gaps: Float64Array
    shares: Float64Array

    @classmethod
    def of(cls, predictions: ClassPredictions, labels: IntArray, *, equal_mass: bool) -> _Binned:
        confidence = predictions.mean.max(axis=-1)
        gap = hits(predictions, labels) - confidence.astype(np.float64)
        bins = equal_mass_bins(confidence) if equal_mass else equal_width_bins(confidence)
        sums = np.bincount(bins, gap, minlength=BINS + 1) / len(gap)
        return cls(gap, bins, sums, np.bincount(bins, minlength=BINS + 1) / len(gap))

    def total(self) -> float:
        return float(np.sum(np.abs(self.gaps)))

    def total_influence(self) -> Float64Array:
        return np.sign(self.gaps)[self.bin] * self.gap - self.total()

    def _largest(self) -> tuple[int, float]:
        means = np.divide(self.gaps, self.shares, out=np.zeros(len(self.gaps)), where=self.shares > 0.0)
        number = int(np.argmax(np.where(self.shares > 0.0, np.abs(means), -1.0)))
        return number, float(means[number])

    def largest(self) -> float:
        return abs(self._largest()[1])

    def largest_influence(self) -> Float64Array:
        number, mean = self._largest()
        inside = (self.bin == number) / self.shares[number]
        return np.asarray(np.sign(mean) * (self.gap - mean) * inside)


def _equal_width(predictions: ClassPredictions, labels: IntArray) -> _Binned:
    return _Binned.of(predictions, labels, equal_mass=False)


def _equal_mass(predictions: ClassPredictions, labels: IntArray) -> _Binned:
    return _Binned.of(predictions, labels, equal_mass=True)


ECE = Metric(
    "ece",
    "expected calibration error",
    "1",
    Task.CLASSIFICATION,
    Better.LOWER,
    lambda predictions, labels: _equal_width(predictions, labels).total(),
    lambda predictions, labels: _equal_width(predictions, labels).total_influence(),
)
ACE = Metric(
    "ace",
    "adaptive calibration error",
    "1",
    Task.CLASSIFICATION,
    Better.LOWER,
    lambda predictions, labels: _equal_mass(predictions, labels).total(),
    lambda predictions, labels: _equal_mass(predictions, labels).total_influence(),
)
MCE = Metric(
    "mce",
    "maximum calibration error",
    "1",
    Task.CLASSIFICATION,
    Better.LOWER,
    lambda predictions, labels: _equal_width(predictions, labels).largest(),
    lambda predictions, labels: _equal_width(predictions, labels).largest_influence(),
)
