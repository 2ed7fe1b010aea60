"""What a metric is: a number of the predictions for a data set, and how much each example has a share in it.

The influence of an example is the derivative of the metric with respect to the example's weight in the data set. Its
mean is 0, and the metric's standard error of finite data is its sample standard deviation / sqrt(examples): the delta
method, or infinitesimal jackknife. For a mean over examples, the influence is each example's term minus the mean, and
this is the standard error that everybody knows. For paired differences influences are subtracted example by example.

Source: Hampel (1974), "The influence curve and its role in robust estimation"; Efron and Stein (1981).
"""

from __future__ import annotations

import enum
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from bprune.arrays import AnyArray, Float64Array
from bprune.case.task import Task

__all__ = ["Better", "Metric", "data_stderr", "mean_metric", "paired_share_stderr"]


class Better(str, enum.Enum):
    """Which direction of a metric is good."""

    HIGHER = "higher"
    """Larger values are better."""
    LOWER = "lower"
    """Smaller values are better."""
    NEITHER = "neither"
    """A description, not a score."""


@dataclass(frozen=True)
class Metric:
    """One metric.

    Attributes:
        name: Its name in files and JSON.
        title: Its name for people.
        unit: Its unit; "1" for plain numbers, "target" for the unit of a regression's targets.
        task: The task whose predictions it takes.
        better: Which direction is good.
        value: The metric of predictions and labels (class numbers `[example]`, or targets `[example, output]`).
        influence: The influence of each example, `[example]`, of the same arguments.
        needs_labels: Whether labels matter; else they may be None.
        applies: Whether the metric means something for these predictions.
        is_share: Whether it is a share of the examples: the mean of something that is 0 or 1.
    """

    name: str
    title: str
    unit: str
    task: Task
    better: Better
    value: Callable[[Any, Any], float]
    influence: Callable[[Any, Any], Float64Array]
    needs_labels: bool = True
    applies: Callable[[Any], bool] = lambda predictions: True
    is_share: bool = False


def mean_metric(
    name: str,
    title: str,
    terms: Callable[[Any, Any], AnyArray],
    *,
    task: Task,
    better: Better,
    unit: str = "1",
    needs_labels: bool = True,
    applies: Callable[[Any], bool] = lambda predictions: True,
    is_share: bool = False,
) -> Metric:
    """A metric that is a mean over examples.

    Args:
        name: See `Metric`.
        title: See `Metric`.
        terms: The term of each example, `[example]`, of predictions and labels.
        task: See `Metric`.
        better: See `Metric`.
        unit: See `Metric`.
        needs_labels: See `Metric`.
        applies: See `Metric`.
        is_share: See `Metric`.
    """

    def value(predictions: Any, labels: Any) -> float:
        return float(np.mean(terms(predictions, labels), dtype=np.float64))

    def influence(predictions: Any, labels: Any) -> Float64Array:
        values = np.asarray(terms(predictions, labels), np.float64)
        return np.asarray(values - values.mean())

    return Metric(name, title, unit, task, better, value, influence, needs_labels, applies, is_share)


def paired_share_stderr(changes: Float64Array) -> float:
    """The standard error of a difference of shares of the same examples, with two examples added, one changed each way.

    Without them it would be 0 where no example changes, as if that were certain of all examples there are.

    Source: Agresti and Min (2005), "Simple improved confidence intervals for comparing matched proportions".

    Args:
        changes: -1, 0 or 1 for each example, `[example]`.
    """
    count = len(changes) + 2
    changed, total = float(np.abs(changes).sum()) + 1.0, float(changes.sum())
    return math.sqrt(changed - total**2 / count) / count


def data_stderr(influence: Float64Array) -> float:
    """The standard error of finite data: sample standard deviation / sqrt(examples); NaN for one example."""
    examples = len(influence)
    return float(np.std(influence, ddof=1)) / math.sqrt(examples) if examples > 1 else math.nan
