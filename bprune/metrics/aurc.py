"""The area under the risk-coverage curve: how wrong a classifier is when it may decline what it is least sure of.

Examples are ordered by confidence (the largest mean probability). The risk at coverage i/N is the share of errors among
the i most confident examples, and AURC its mean over i = 1 ... N. Among examples of equal confidence every order is as
good as another, and the mean over all orders is taken.

Source: Geifman, Uziel and El-Yaniv (2019), "Bias-reduced uncertainty estimation for deep neural classifiers", eq. 3.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bprune.arrays import AnyArray, Float64Array, IntArray
from bprune.case.task import Task
from bprune.metrics.accuracy import hits
from bprune.metrics.base import Better, Metric
from bprune.metrics.predictions import ClassPredictions

__all__ = ["AURC", "risk_coverage"]


@dataclass(frozen=True)
class _Ordered:
    """Examples from the most to the least confident.

    Attributes:
        order: Their numbers, `[position]`.
        group: For each position the number of its group of equal confidence, `[position]`.
        error: Whether each is wrong, 0 or 1, `[position]`.
        risk: Share of errors up to each position, `[position]`.
    """

    order: IntArray
    group: IntArray
    error: Float64Array
    risk: Float64Array

    @classmethod
    def of(cls, predictions: ClassPredictions, labels: IntArray) -> _Ordered:
        confidence = predictions.mean.max(axis=-1)
        order = np.argsort(-confidence, kind="stable")
        group = np.cumsum(np.diff(confidence[order], prepend=confidence[order[:1]]) != 0.0)
        error = 1.0 - hits(predictions, labels)[order].astype(np.float64)
        risk = np.asarray(np.cumsum(_group_means(error, group)) / np.arange(1, len(error) + 1), np.float64)
        return cls(order, group, error, risk)

    def area(self) -> float:
        return float(np.mean(self.risk))

    def influence(self) -> Float64Array:
        """d area / d weight: an example moves the risk at its own coverage and at all larger ones."""
        inverse = 1.0 / np.arange(1, len(self.error) + 1)
        after, risks_after = _sums_from(inverse), _sums_from(inverse * self.risk)
        own = self.error * _group_means(after, self.group) - _group_means(risks_after - self.risk, self.group)
        values = np.empty(len(own))
        values[self.order] = own - self.area()
        return values


def risk_coverage(predictions: ClassPredictions, labels: IntArray) -> tuple[Float64Array, Float64Array]:
    """The curve.

    Args:
        predictions: The predictions.
        labels: Class numbers, `[example]`.

    Returns:
        Coverage i/N and the share of errors among the i most confident examples, `[example]` each.
    """
    ordered = _Ordered.of(predictions, labels)
    return np.arange(1, len(labels) + 1) / len(labels), ordered.risk


def _group_means(values: Float64Array, group: IntArray) -> Float64Array:
    return np.asarray((np.bincount(group, values) / np.bincount(group))[group])


def _sums_from(values: AnyArray) -> Float64Array:
    """Sums from each position to the end."""
    return np.asarray(np.cumsum(values[::-1])[::-1])


AURC = Metric(
    "aurc",
    "area under the risk-coverage curve",
    "1",
    Task.CLASSIFICATION,
    Better.LOWER,
    lambda predictions, labels: _Ordered.of(predictions, labels).area(),
    lambda predictions, labels: _Ordered.of(predictions, labels).influence(),
)
