"""The numbers in which two engines' draws of one example are compared, and how far rounding may move each of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bprune.arrays import AnyArray, Float64Array
from bprune.case.task import Task
from bprune.engines.base import Draws

__all__ = ["Coordinates", "Features", "coordinates", "features", "widest"]

_MOST = 256
_PAIRED = 5
_LEAST_PROBABILITY = 1e-30
_FLOAT32_STEP = 2.0**-24


@dataclass(frozen=True)
class Coordinates:
    """The pooled draws of one example.

    Attributes:
        names: One per coordinate.
        values: The first engine's draws, then the second's, `[coordinate, 2 draw]`, float64.
        slack: The largest rounding error of each value, of the same shape.
    """

    names: tuple[str, ...]
    values: Float64Array
    slack: Float64Array


@dataclass(frozen=True)
class Features:
    """What is ranked: numbers that are larger where a law lies higher, spreads wider or correlates more.

    Attributes:
        names: The coordinates that a row comes from: one, or two of a product.
        values: `[row, 2 draw]`, float64.
        slack: The largest rounding error of each value, of the same shape.
    """

    names: tuple[tuple[str, ...], ...]
    values: Float64Array
    slack: Float64Array


def coordinates(first: Draws, second: Draws, example: int, task: Task, tolerance: float) -> Coordinates:
    """The coordinates of one example.

    A classifier has the log-odds ln(p / (1 - p)) of each class, with 1 - p as the sum of the other classes, which
    keeps its digits where p is nearly 1; of two classes the second alone. A regression has its outputs' means and the
    logarithms of their scales. Of more than 256 outputs, 256 that are evenly spaced are taken.

    Args:
        first: Draws of one engine.
        second: Draws of the other, of the same shape.
        example: The example's position in the draws.
        task: What the network predicts.
        tolerance: The largest rounding error of a value, relative to the larger of its own size and the median size of
            the example's values (the largest over coordinates); log-odds and logarithms count as at least 1.
    """
    values = _pooled(first.values, second.values, example)
    if task is Task.CLASSIFICATION:
        return _log_odds(values, tolerance)
    chosen = _chosen(len(values))
    names = tuple(f"output {number}" for number in chosen)
    means = Coordinates(names, values[chosen], _rounding(values, 0.0, tolerance)[chosen])
    if first.scale is None or second.scale is None:
        return means
    scales = np.log(np.maximum(_pooled(first.scale, second.scale, example)[chosen], _LEAST_PROBABILITY))
    return Coordinates(
        names + tuple(f"scale of {name}" for name in names),
        np.concatenate([means.values, scales]),
        np.concatenate([means.slack, _rounding(scales, 1.0, tolerance)]),
    )


def widest(first: Draws, second: Draws, task: Task) -> list[int]:
    """The coordinates between which correlations are compared: the five that lie farthest from their median.

    The distance is the mean over draws and examples of both samples together.
    """
    total = np.zeros(())
    for example in range(first.values.shape[1]):
        values = coordinates(first, second, example, task, 0.0).values
        total = total + np.mean(np.abs(values - np.median(values, axis=1, keepdims=True)), axis=1)
    return sorted(np.argsort(-total, kind="stable")[:_PAIRED].tolist())


def features(example: Coordinates, paired: Sequence[int]) -> tuple[Features, Features, Features]:
    """What is ranked for the location, the spread and the correlations of one example.

    Medians are those of both samples together. A product of deviations from them counts with the sign of the two
    samples' common correlation, so that a larger one always means a stronger correlation.

    Args:
        example: The example's coordinates.
        paired: The coordinates between which correlations are compared.
    """
    draws = example.values.shape[1] // 2
    middle = np.argpartition(example.values, draws, axis=1)[:, draws, None]
    deviation = example.values - np.take_along_axis(example.values, middle, axis=1)
    slack = example.slack + np.take_along_axis(example.slack, middle, axis=1)
    distance = np.abs(deviation)
    one, other = (np.asarray(paired)[index] for index in np.triu_indices(len(paired), 1))
    products = deviation[one] * deviation[other]
    common = np.where(np.sum(np.sign(products), axis=1, keepdims=True) < 0.0, -1.0, 1.0)
    product_slack = slack[one] * distance[other] + slack[other] * distance[one] + slack[one] * slack[other]
    singles = tuple((name,) for name in example.names)
    pairs = tuple((example.names[a], example.names[b]) for a, b in zip(one, other, strict=True))
    return (
        Features(singles, example.values, example.slack),
        Features(singles, distance, slack),
        Features(pairs, common * products, product_slack),
    )


def _pooled(first: AnyArray, second: AnyArray, example: int) -> Float64Array:
    return np.concatenate([first[:, example], second[:, example]]).T.astype(np.float64)


def _log_odds(probabilities: Float64Array, tolerance: float) -> Coordinates:
    classes = len(probabilities)
    chosen = _chosen(classes)[1:] if classes == 2 else _chosen(classes)
    own = np.maximum(probabilities[chosen], _LEAST_PROBABILITY)
    none = np.zeros((1, probabilities.shape[1]))
    below = np.cumsum(np.concatenate([none, probabilities[:-1]]), axis=0)
    above = np.cumsum(np.concatenate([none, probabilities[:0:-1]]), axis=0)[::-1]
    others = np.maximum((below + above)[chosen], _LEAST_PROBABILITY)  # sums of positive numbers keep their digits
    values = np.log(own) - np.log(others)
    slack = _rounding(values, 1.0, tolerance)
    if classes == 2:  # one of the two may be 1 minus the other, in float32
        slack = slack + _FLOAT32_STEP / np.minimum(own, others)
    return Coordinates(tuple(f"class {number}" for number in chosen), values, slack)


def _rounding(values: Float64Array, least: float, tolerance: float) -> Float64Array:
    size = np.abs(values)
    return tolerance * np.maximum(size, max(least, float(np.max(np.median(size, axis=1)))))


def _chosen(count: int) -> list[int]:
    return sorted(set(np.linspace(0, count - 1, min(count, _MOST)).round().astype(int).tolist()))
