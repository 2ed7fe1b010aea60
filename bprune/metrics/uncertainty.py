"""How uncertain a classifier says it is: means over the data set of what each example has."""

from __future__ import annotations

import numpy as np

from bprune.arrays import AnyArray, Float64Array
from bprune.case.task import Task
from bprune.metrics.base import Better, Metric, mean_metric
from bprune.metrics.predictions import ClassPredictions

__all__ = ["EXPECTED_ENTROPY", "MUTUAL_INFORMATION", "PREDICTIVE_ENTROPY", "VARIATION_RATIO", "variation_ratio"]


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
