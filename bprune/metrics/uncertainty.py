"""How uncertain a network says it is: means over the data set of what each example has."""

from __future__ import annotations

import numpy as np

from bprune.arrays import AnyArray, Float64Array
from bprune.case.task import Task
from bprune.metrics.base import Better, Metric, mean_metric
from bprune.metrics.predictions import ClassPredictions, Predictions

__all__ = [
    "EXPECTED_ENTROPY",
    "INFORMATION_SPLIT",
    "MUTUAL_INFORMATION",
    "PREDICTIVE_ENTROPY",
    "VARIANCE_SPLIT",
    "VARIATION_RATIO",
    "variation_ratio",
]


def variation_ratio(predictions: ClassPredictions, labels: object = None) -> Float64Array:
    """1 - the largest share of votes, `[example]`: how many draws do not vote for the class that most draws choose."""
    return np.asarray(1.0 - np.max(np.asarray(predictions.vote_share, np.float64), axis=-1))


def _predictive_entropy(predictions: ClassPredictions, labels: object) -> Float64Array:
    return predictions.predictive_entropy


def _expected_entropy(predictions: ClassPredictions, labels: object) -> AnyArray:
    return predictions.expected_entropy


def _mutual_information(predictions: ClassPredictions, labels: object) -> Float64Array:
    return predictions.mutual_information


def _entropies() -> list[Metric]:
    named = (
        ("predictive_entropy", "predictive entropy", _predictive_entropy),
        ("expected_entropy", "expected entropy (aleatoric)", _expected_entropy),
        ("mutual_information", "mutual information (epistemic)", _mutual_information),
    )
    return [
        mean_metric(name, title, terms, task=Task.CLASSIFICATION, better=Better.NEITHER, unit="nat", needs_labels=False)
        for name, title, terms in named
    ]


PREDICTIVE_ENTROPY, EXPECTED_ENTROPY, MUTUAL_INFORMATION = _entropies()
"""Entropy of the mean probability; mean entropy of the draws; their difference, not below 0."""

VARIATION_RATIO = mean_metric(
    "variation_ratio",
    "variation ratio",
    variation_ratio,
    task=Task.CLASSIFICATION,
    better=Better.NEITHER,
    needs_labels=False,
    applies=lambda predictions: predictions.vote_share is not None,
)
"""Freeman (1965); Gal (2016), section 3.3.1. A draw's vote goes to its most probable class, the lowest in a tie."""


def _within(predictions: Predictions, labels: object) -> Float64Array:
    return _of_example(predictions.within_members)


def _between(predictions: Predictions, labels: object) -> Float64Array:
    return _of_example(predictions.between_members)


def _of_example(values: Float64Array) -> Float64Array:
    """The mean over outputs, where there are some."""
    return values if values.ndim == 1 else np.asarray(values.mean(axis=-1))


def _split(task: Task, noun: str, unit: str) -> tuple[Metric, Metric]:
    within, between = (
        mean_metric(
            f"{part}_members",
            f"{noun} {part} members",
            terms,
            task=task,
            better=Better.NEITHER,
            unit=unit,
            needs_labels=False,
            applies=lambda predictions: len(predictions.members) > 1,
        )
        for part, terms in (("within", _within), ("between", _between))
    )
    return within, between


INFORMATION_SPLIT = _split(Task.CLASSIFICATION, "mutual information", "nat")
"""The two parts of an ensemble's mutual information; see `bprune.metrics.predictions`."""

VARIANCE_SPLIT = _split(Task.REGRESSION, "variance", "target^2")
"""The two parts of an ensemble's variance of the predictive mean, the mean over outputs."""
