"""Metrics of predictions, and what they change by between two networks, with their errors."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from bprune.arrays import AnyArray
from bprune.case.task import Task
from bprune.errors import InputError, UsageError
from bprune.metrics.base import Metric, data_stderr
from bprune.metrics.blocks import jackknife_stderr
from bprune.metrics.estimate import Estimate
from bprune.metrics.labels import class_labels, regression_targets
from bprune.metrics.ood import ood_auroc
from bprune.metrics.predictions import ClassPredictions, Predictions, ValuePredictions
from bprune.metrics.registry import choose_metrics

__all__ = ["evaluate", "evaluate_difference"]


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
    chosen = _applicable(predictions, labels, names, metrics)
    truth = _labels(predictions, labels)
    values = {metric.name: metric.value(predictions, truth) for metric in chosen}
    without: dict[str, list[float]] = {name: [] for name in values}
    for replicate in predictions.replicates():
        for metric in chosen:
            without[metric.name].append(metric.value(replicate, truth))
    found = {
        metric.name: Estimate(
            values[metric.name],
            data_stderr(metric.influence(predictions, truth)),
            jackknife_stderr(values[metric.name], without[metric.name]),
        )
        for metric in chosen
    }
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

    Both are of the same examples, so that what an example does to both cancels in the data standard error. Where both
    runs have the same blocks, each block is left out of both at once: with the same draws (common random numbers)
    what the draws do to both cancels in the MC standard error, and with other draws that is right as well. Where blocks
    differ in number the two MC errors are added as independent ones.

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
    if type(first) is not type(second) or first.mean.shape != second.mean.shape:
        raise UsageError(
            f"predictions of the shapes {first.mean.shape} and {second.mean.shape} cannot be compared; "
            "both must be of the same task, examples and classes"
        )
    truth = _labels(first, labels)
    chosen = _applicable(first, labels, names, metrics)
    chosen = [metric for metric in chosen if metric.applies(second)]
    values = {metric.name: metric.value(second, truth) - metric.value(first, truth) for metric in chosen}
    influences = {metric.name: metric.influence(second, truth) - metric.influence(first, truth) for metric in chosen}
    errors = _mc_errors(first, second, truth, chosen, values)
    return {name: Estimate(value, data_stderr(influences[name]), errors[name]) for name, value in values.items()}


def _mc_errors(
    first: Predictions, second: Predictions, truth: Any, chosen: Sequence[Metric], values: dict[str, float]
) -> dict[str, float]:
    left, right = _without(first, truth, chosen), _without(second, truth, chosen)
    errors = {}
    for metric in chosen:
        a, b = left[metric.name], right[metric.name]
        if len(a) == len(b):
            errors[metric.name] = jackknife_stderr(values[metric.name], [y - x for x, y in zip(a, b, strict=True)])
        else:
            own = (
                jackknife_stderr(metric.value(first, truth), a),
                jackknife_stderr(metric.value(second, truth), b),
            )
            errors[metric.name] = math.hypot(*own) if not any(math.isnan(error) for error in own) else math.nan
    return errors


def _without(predictions: Predictions, truth: Any, chosen: Sequence[Metric]) -> dict[str, list[float]]:
    """Each metric without each block."""
    values: dict[str, list[float]] = {metric.name: [] for metric in chosen}
    for replicate in predictions.replicates():
        for metric in chosen:
            values[metric.name].append(metric.value(replicate, truth))
    return values


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
