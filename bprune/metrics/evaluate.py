"""Metrics of predictions, and what they change by between two networks, with their errors."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bprune.arrays import AnyArray, Float64Array
from bprune.case.task import Task
from bprune.errors import InputError, UsageError
from bprune.metrics.base import Metric, data_stderr, paired_share_stderr
from bprune.metrics.blocks import mc_stderr
from bprune.metrics.estimate import Estimate
from bprune.metrics.labels import class_labels, regression_targets
from bprune.metrics.ood import ood_auroc
from bprune.metrics.predictions import ClassPredictions, Predictions, ValuePredictions
from bprune.metrics.registry import choose_metrics
from bprune.metrics.replicate import half_differences

__all__ = ["evaluate", "evaluate_difference", "evaluate_pair"]


def evaluate(
    predictions: Predictions,
    labels: AnyArray | None,
    *,
    names: Iterable[str] | None = None,
    metrics: Sequence[Metric] | None = None,
    ood: Predictions | None = None,
) -> dict[str, Estimate]:
    """Every metric of some predictions.

    Args:
        predictions: The predictions.
        labels: Class numbers `[example]` or targets `[example, output]`; None where they are not known, which leaves
            the metrics that need none.
        names: Names of the metrics; None takes all that apply.
        metrics: The metrics themselves, in place of names.
        ood: Predictions for examples of another kind; adds the AUROC of telling them apart.

    Returns:
        The estimates, by name. Metrics that do not apply are left out.

    Raises:
        UsageError: If there is no metric of some name, or `ood` is given with a regression.
        InputError: If the labels do not fit the predictions.

    Example:
        >>> evaluate(predictions, labels)["accuracy"].value
    """
    truth = _labels(predictions, labels)
    found = _measure(predictions, truth, _applicable(predictions, labels, names, metrics)).estimates()
    return found if ood is None else found | _ood(predictions, ood)


def evaluate_difference(
    first: Predictions,
    second: Predictions,
    labels: AnyArray | None,
    *,
    names: Iterable[str] | None = None,
    metrics: Sequence[Metric] | None = None,
) -> dict[str, Estimate]:
    """What every metric changes by: the second predictions' minus the first's, with errors of the difference itself.

    Both are of the same examples, so that what an example does to both cancels in the data standard error. Both are
    halved in the same way: with the same draws (common random numbers) what the draws do to both cancels in the MC
    standard error, and with other draws that is right as well.

    Args:
        first: Predictions of one network.
        second: Predictions of another for the same examples.
        labels: Class numbers or targets, or None.
        names: Names of the metrics; None takes all that apply to both.
        metrics: The metrics themselves, in place of names.

    Returns:
        The estimates of the differences, by name.

    Raises:
        UsageError: If the predictions are of other tasks, examples or classes, or there is no metric of some name.
        InputError: If the labels do not fit the predictions.
    """
    return evaluate_pair(first, second, labels, names=names, metrics=metrics)[2]


def evaluate_pair(
    first: Predictions,
    second: Predictions,
    labels: AnyArray | None,
    *,
    names: Iterable[str] | None = None,
    metrics: Sequence[Metric] | None = None,
) -> tuple[dict[str, Estimate], dict[str, Estimate], dict[str, Estimate]]:
    """The metrics of both and what they change by, in the time that both take; see `evaluate_difference`."""
    if type(first) is not type(second) or first.mean.shape != second.mean.shape:
        raise UsageError(
            f"predictions of the shapes {first.mean.shape} and {second.mean.shape} cannot be compared; "
            "both must be of the same task, examples and classes"
        )
    truth = _labels(first, labels)
    chosen = [metric for metric in _applicable(first, labels, names, metrics) if metric.applies(second)]
    before, after = _measure(first, truth, chosen), _measure(second, truth, chosen)
    return before.estimates(), after.estimates(), before.differences(after)


@dataclass(frozen=True)
class _Measured:
    """Metrics, with what their errors follow from; all in the order of `metrics`."""

    metrics: Sequence[Metric]
    values: Sequence[float]
    influences: Sequence[Float64Array]
    steps: Sequence[Float64Array]

    def estimates(self) -> dict[str, Estimate]:
        """The metrics with their errors."""
        columns = zip(self.metrics, self.values, self.influences, self.steps, strict=True)
        return {
            metric.name: Estimate(value, data_stderr(influence), mc_stderr(step))
            for metric, value, influence, step in columns
        }

    def differences(self, other: _Measured) -> dict[str, Estimate]:
        """The other's minus these, with their errors."""
        found = {}
        for number, metric in enumerate(self.metrics):
            value = other.values[number] - self.values[number]
            influence = other.influences[number] - self.influences[number]
            error = paired_share_stderr(np.rint(influence + value)) if metric.is_share else data_stderr(influence)
            a, b = self.steps[number], other.steps[number]
            step = b - a if len(a) == len(b) else np.zeros(0)  # one of the two has no blocks
            found[metric.name] = Estimate(value, error, mc_stderr(step))
        return found


def _measure(predictions: Predictions, truth: Any, chosen: Sequence[Metric]) -> _Measured:
    return _Measured(
        chosen,
        [metric.value(predictions, truth) for metric in chosen],
        [metric.influence(predictions, truth) for metric in chosen],
        half_differences(predictions, [functools.partial(_value, metric, truth) for metric in chosen]),
    )


def _value(metric: Metric, truth: Any, predictions: Predictions) -> float:
    return metric.value(predictions, truth)


def _applicable(
    predictions: Predictions,
    labels: AnyArray | None,
    names: Iterable[str] | None,
    metrics: Sequence[Metric] | None,
) -> list[Metric]:
    task = Task.CLASSIFICATION if isinstance(predictions, ClassPredictions) else Task.REGRESSION
    chosen = choose_metrics(task, names) if metrics is None else tuple(metrics)
    return [
        metric for metric in chosen if metric.applies(predictions) and (labels is not None or not metric.needs_labels)
    ]


def _labels(predictions: Predictions, labels: AnyArray | None) -> AnyArray | None:
    if labels is None:
        return None
    check = regression_targets if isinstance(predictions, ValuePredictions) else class_labels
    return check(labels, *predictions.mean.shape)


def _ood(predictions: Predictions, ood: Predictions) -> dict[str, Estimate]:
    if not isinstance(predictions, ClassPredictions) or not isinstance(ood, ClassPredictions):
        raise UsageError("telling out-of-distribution examples apart takes the entropy of a classification")
    if predictions.mean.shape[1] != ood.mean.shape[1]:
        raise InputError(
            f"the out-of-distribution predictions have {ood.mean.shape[1]} classes, the others "
            f"{predictions.mean.shape[1]}; both must be of one network"
        )
    return ood_auroc(predictions, ood)
