"""Compare two results files of the same data: did accuracy and uncertainty survive?

Metrics are compared by paired differences (see `bprune.metrics.evaluate`): examples are the same, and the halves of
the draws the same numbers, so that what both share cancels. The error of a difference is sqrt(data^2 + mc^2), its
interval difference +- t stderr with Welch's and Satterthwaite's degrees of freedom, 19 for the draws and examples - 1
for the data.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.stats import t

from bprune.arrays import AnyArray, IntArray
from bprune.case.task import Task
from bprune.errors import InputError
from bprune.judgement.change import (
    ClassChange,
    RankCorrelation,
    ValueChange,
    class_change,
    rank_correlation,
    value_change,
)
from bprune.judgement.noise_floor import NoiseTest, compare_with_noise, noise_differences
from bprune.judgement.notebook import comparison_html
from bprune.judgement.verdict import verdict
from bprune.metrics import Estimate, Predictions, evaluate_pair
from bprune.metrics.blocks import BLOCKS
from bprune.metrics.predictions import ClassPredictions, ValuePredictions
from bprune.results import Results

__all__ = ["CONFIDENCE", "Comparison", "MetricChange", "compare_results"]

CONFIDENCE = 0.95


@dataclass(frozen=True)
class MetricChange:
    """A metric of both, and what it changes by.

    Attributes:
        first: Of the first.
        second: Of the second.
        difference: Second minus first, with errors of the paired difference.
        half_width: Half the width of the 95 % confidence interval of the difference; NaN where no error is known.
        joint_half_width: The same for an interval that holds together with those of the other metrics of the verdict.
    """

    first: Estimate
    second: Estimate
    difference: Estimate
    half_width: float
    joint_half_width: float

    @property
    def is_clear(self) -> bool:
        """Whether the interval that holds together with the others leaves 0 out."""
        return abs(self.difference.value) > self.joint_half_width


@dataclass(frozen=True, eq=False)
class Comparison:
    """The outcome.

    Attributes:
        first: The file that changes are counted from.
        second: The other file.
        task: What both predict.
        examples: Number of examples.
        noise: Whether the predictions differ by more than finite draws explain.
        change: What changes for each example.
        uncertainty: Whether both order examples by uncertainty in the same way.
        metrics: Every metric of both, by name.
        labels: Class numbers or targets; None where they are not known.
    """

    first: Path
    second: Path
    task: Task
    examples: int
    noise: NoiseTest
    change: ClassChange | ValueChange
    uncertainty: RankCorrelation
    metrics: Mapping[str, MetricChange]
    labels: AnyArray | None

    @property
    def verdict(self) -> str:
        """The outcome in words."""
        return verdict(self.noise, self.change, self.uncertainty, self.metrics, CONFIDENCE)

    def __repr__(self) -> str:
        return f"<Comparison of {self.first} and {self.second}: {self.task.value}, {self.examples} examples>"

    def _repr_html_(self) -> str:
        return comparison_html(self)

    def most_changed(self, count: int = 10) -> IntArray:
        """The numbers of the examples that change most, the most changed first; flipped ones before all others.

        Examples that do not change at all are left out.
        """
        flipped = self.change.flipped if isinstance(self.change, ClassChange) else np.zeros(self.examples, bool)
        size = np.nan_to_num(self.change.size, nan=-1.0)
        order = np.lexsort((np.arange(self.examples), -size, ~flipped))
        return np.asarray(order[(flipped | (size != 0.0))[order]][:count], np.int64)


def compare_results(first: Results, second: Results) -> Comparison:
    """Compare two results files of the same data.

    Args:
        first: The file that changes are counted from, such as that of the unpruned network.
        second: The other.

    Raises:
        InputError: If the files are of other tasks, examples, classes, inputs or labels.

    Example:
        >>> compare_results(open_results("digits-results.h5"), open_results("digits-80.h5")).verdict
    """
    labels = _same_data(first, second)
    a, b = first.predictions(), second.predictions()
    differences = list(noise_differences(a, b))
    if isinstance(a, ClassPredictions) and isinstance(b, ClassPredictions):
        change: ClassChange | ValueChange = class_change(a, b, differences)
        noise = compare_with_noise(a, b, differences=differences)
    elif isinstance(a, ValuePredictions) and isinstance(b, ValuePredictions):
        change = value_change(a, b, differences)
        noise = compare_with_noise(a, b, _units(a), differences)
    else:
        raise InputError(f"{first.path} and {second.path} are of other tasks")
    return Comparison(
        first.path,
        second.path,
        first.task,
        len(a.mean),
        noise,
        change,
        rank_correlation(a, b),
        _metric_changes(a, b, labels),
        labels,
    )


def _metric_changes(a: Predictions, b: Predictions, labels: AnyArray | None) -> dict[str, MetricChange]:
    before, after, differences = evaluate_pair(a, b, labels)
    main = max(1, sum(name in differences for name in ("accuracy", "rmse", "nll", "ece", "crps")))
    found = {}
    for name, item in differences.items():
        widths = (_half_width(item, len(a.mean), share) for share in (1.0 - CONFIDENCE, (1.0 - CONFIDENCE) / main))
        found[name] = MetricChange(before[name], after[name], item, *widths)
    return found


def _half_width(item: Estimate, examples: int, miss: float) -> float:
    """Half the width of a confidence interval that misses with a probability of `miss`."""
    parts = [(item.data_stderr, examples - 1), (item.mc_stderr, BLOCKS - 1)]
    known = [(error, freedom) for error, freedom in parts if not math.isnan(error)]
    if not known:
        return math.nan
    total = math.fsum(error**2 for error, _ in known)
    if total == 0.0:
        return 0.0
    freedom = total**2 / math.fsum(error**4 / freedom for error, freedom in known)
    return float(t.isf(miss / 2.0, freedom)) * math.sqrt(total)


def _units(predictions: ValuePredictions) -> AnyArray:
    """Standard deviations to measure shifts in; where an example has none, that of the others."""
    sigma = predictions.stddev
    typical = float(np.sqrt(np.mean(np.square(sigma)))) or 1.0
    return np.where(sigma > 0.0, sigma, typical)


def _same_data(first: Results, second: Results) -> AnyArray | None:
    """The labels of both, after checking that the files are of the same data."""
    both = f"{first.path} and {second.path}"
    hint = "Run bprune infer on both networks with the same --data."
    if first.task is not second.task:
        raise InputError(f"{both} cannot be compared: a {first.task.value} and a {second.task.value}", hint=hint)
    shapes = first.summary.mean.shape, second.summary.mean.shape
    if shapes[0] != shapes[1]:
        noun = "classes" if first.task is Task.CLASSIFICATION else "outputs"
        raise InputError(
            f"{both} cannot be compared: {shapes[0][0]} examples and {shapes[0][1]} {noun}, "
            f"{shapes[1][0]} examples and {shapes[1][1]} {noun}",
            hint=hint,
        )
    if first.inputs.shape != second.inputs.shape or not np.array_equal(first.inputs, second.inputs):
        raise InputError(f"{both} cannot be compared: their inputs are not the same examples", hint=hint)
    if first.labels is None or second.labels is None:
        return first.labels if second.labels is None else second.labels
    if not np.array_equal(first.labels, second.labels):
        raise InputError(f"{both} cannot be compared: they have other labels for the same examples", hint=hint)
    return first.labels
