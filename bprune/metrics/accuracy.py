"""How often the label is the most probable class, or one of the most probable ones."""

from __future__ import annotations

import numpy as np

from bprune.arrays import BoolArray, IntArray
from bprune.case.task import Task
from bprune.errors import UsageError
from bprune.metrics.base import Better, Metric, mean_metric
from bprune.metrics.predictions import ClassPredictions

__all__ = ["ACCURACY", "DEFAULT_TOP_K", "hits", "top_k_accuracy"]

DEFAULT_TOP_K = 5


def hits(predictions: ClassPredictions, labels: IntArray) -> BoolArray:
    """Whether the most probable class is the label, `[example]`; the lowest class number wins a tie."""
    return np.asarray(predictions.top_class == labels, bool)


ACCURACY = mean_metric("accuracy", "accuracy", hits, task=Task.CLASSIFICATION, better=Better.HIGHER, is_share=True)
"""Share of the examples whose most probable class is the label."""


def top_k_accuracy(k: int = DEFAULT_TOP_K) -> Metric:
    """Share of the examples whose label is among the k most probable classes; lower class numbers win ties.

    Args:
        k: How many classes, at least 1. The metric applies where there are more classes than that.

    Raises:
        UsageError: If k is below 1.
    """
    if k < 1:
        raise UsageError(f"top-k accuracy needs at least 1 class; k is {k}")

    def within(predictions: ClassPredictions, labels: IntArray) -> BoolArray:
        probability = np.take_along_axis(predictions.mean, labels[:, None], axis=-1)
        before = (predictions.mean == probability) & (np.arange(predictions.mean.shape[1]) < labels[:, None])
        rank = np.count_nonzero((predictions.mean > probability) | before, axis=-1)
        return np.asarray(rank < k, bool)

    return mean_metric(
        f"top{k}_accuracy",
        f"top-{k} accuracy",
        within,
        task=Task.CLASSIFICATION,
        better=Better.HIGHER,
        applies=lambda predictions: bool(predictions.mean.shape[1] > k),
        is_share=True,
    )
