"""What changes between two predictions of the same example, and how much of that is the noise of finite draws."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata

from bprune.arrays import AnyArray, BoolArray, Float64Array, IntArray
from bprune.metrics.entropy import entropy
from bprune.metrics.predictions import ClassPredictions, Predictions, ValuePredictions

__all__ = ["ClassChange", "RankCorrelation", "ValueChange", "class_change", "rank_correlation", "value_change"]


@dataclass(frozen=True, eq=False)
class ClassChange:
    """What changes for each example of a classification.

    Attributes:
        js_divergence: Jensen-Shannon divergence between the mean probabilities, `[example]`, nats, in [0, ln 2].
        total_variation: Half the sum over classes of the absolute difference, `[example]`, in [0, 1].
        first_class: The most probable class of the first, `[example]`.
        second_class: That of the second.
        noise_js_divergence: What the mean of `js_divergence` would be for one network in two such runs; NaN where not
            known.
        noise_total_variation: The same for `total_variation`.
        noise_flips: The same for the share of examples whose most probable class differs.
    """

    js_divergence: Float64Array
    total_variation: Float64Array
    first_class: IntArray
    second_class: IntArray
    noise_js_divergence: float
    noise_total_variation: float
    noise_flips: float

    @property
    def flipped(self) -> BoolArray:
        """Whether the most probable class differs, `[example]`."""
        return np.asarray(self.first_class != self.second_class)

    @property
    def size(self) -> Float64Array:
        """By what examples are ordered: the total variation."""
        return self.total_variation


@dataclass(frozen=True, eq=False)
class ValueChange:
    """What changes for each example of a regression.

    Attributes:
        shift: How far the predictive mean moves, in total predictive standard deviations of the first; the root mean
            square over outputs, `[example]`. NaN where the first has no spread at all.
        stddev_ratio: Total predictive standard deviation of the second over that of the first, the geometric mean over
            outputs, `[example]`.
        noise_shift: What the root mean square of `shift` would be for one network in two such runs; NaN where not
            known.
    """

    shift: Float64Array
    stddev_ratio: Float64Array
    noise_shift: float

    @property
    def size(self) -> Float64Array:
        """By what examples are ordered: the shift."""
        return self.shift


@dataclass(frozen=True)
class RankCorrelation:
    """Whether both order examples by uncertainty in the same way.

    Attributes:
        value: Spearman's correlation over examples; NaN where one of the two is the same for all.
        ceiling: What two runs of one network with independent draws would have, from halves of the draws with the
            Spearman-Brown formula 2 r / (1 + r); NaN where not known.
    """

    value: float
    ceiling: float


def class_change(first: ClassPredictions, second: ClassPredictions, noise: list[Float64Array]) -> ClassChange:
    """Compare the mean probabilities of two classifiers.

    Args:
        first: One.
        second: The other, of the same examples and classes.
        noise: Differences that hold noise alone; see `bprune.judgement.noise_floor.noise_differences`.
    """
    a, b = np.asarray(first.mean, np.float64), np.asarray(second.mean, np.float64)
    middle = (a + b) / 2.0
    floors = []
    for difference in noise:
        pair = [_probabilities(middle + sign * difference / 2.0) for sign in (1.0, -1.0)]
        flips = np.mean(pair[0].argmax(axis=-1) != pair[1].argmax(axis=-1))
        floors.append((_js_divergence(*pair).mean(), np.abs(difference).sum(axis=-1).mean() / 2.0, flips))
    js, tv, flips = np.mean(floors, axis=0) if floors else (math.nan, math.nan, math.nan)
    return ClassChange(
        _js_divergence(a, b),
        np.asarray(np.abs(a - b).sum(axis=-1) / 2.0),
        first.top_class,
        second.top_class,
        float(js),
        float(tv),
        float(flips),
    )


def value_change(first: ValuePredictions, second: ValuePredictions, noise: list[Float64Array]) -> ValueChange:
    """Compare the predictive laws of two regressions; the arguments are those of `class_change`."""
    unit, other = first.stddev, second.stddev
    with np.errstate(divide="ignore", invalid="ignore"):
        shift = _root_mean(np.where(unit > 0.0, (second.mean - first.mean) / unit, np.nan))
        ratio = np.exp(np.mean(np.log(other / unit), axis=-1))
        floors = [np.nanmean(np.square(_root_mean(np.where(unit > 0.0, item / unit, np.nan)))) for item in noise]
    return ValueChange(shift, np.asarray(ratio), math.sqrt(float(np.mean(floors))) if floors else math.nan)


def rank_correlation(first: Predictions, second: Predictions) -> RankCorrelation:
    """Spearman's correlation of epistemic uncertainty: mutual information, or the variance of the predictive mean."""
    within = [_ceiling(item) for item in (first, second)]
    product = within[0] * within[1]
    return RankCorrelation(
        _spearman(_epistemic(first), _epistemic(second)), math.sqrt(product) if product >= 0.0 else math.nan
    )


def _epistemic(predictions: Predictions) -> AnyArray:
    if isinstance(predictions, ClassPredictions):
        return predictions.mutual_information
    return np.asarray(np.mean(predictions.spread_variance, axis=-1))


def _ceiling(predictions: Predictions) -> float:
    halves = [_spearman(_epistemic(one), _epistemic(other)) for one, other in predictions.halves()]
    mean = float(np.mean(halves)) if halves else math.nan
    return max(2.0 * mean / (1.0 + mean), 0.0) if mean > -1.0 else math.nan


def _spearman(a: AnyArray, b: AnyArray) -> float:
    ranks = [rankdata(item) - (len(item) + 1) / 2.0 for item in (a, b)]
    scale = math.sqrt(float(np.sum(np.square(ranks[0])) * np.sum(np.square(ranks[1]))))
    return float(np.sum(ranks[0] * ranks[1])) / scale if scale > 0.0 else math.nan


def _js_divergence(a: Float64Array, b: Float64Array) -> Float64Array:
    return np.maximum(entropy((a + b) / 2.0) - (entropy(a) + entropy(b)) / 2.0, 0.0)


def _probabilities(values: Float64Array) -> Float64Array:
    values = np.maximum(values, 0.0)
    return np.asarray(values / values.sum(axis=-1, keepdims=True))


def _root_mean(values: AnyArray) -> Float64Array:
    return np.asarray(np.sqrt(np.mean(np.square(values), axis=-1)))
