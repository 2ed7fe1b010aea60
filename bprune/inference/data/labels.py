"""Fit labels to a network's task; what a label may be in the end is decided in `bprune.metrics.labels`."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from bprune.arrays import AnyArray, FloatArray, IntArray
from bprune.case.task import Task
from bprune.errors import InputError, UsageError
from bprune.inference.data.dataset import Dataset
from bprune.metrics.labels import class_labels, regression_targets

__all__ = ["fit_labels"]


def fit_labels(data: Dataset, *, task: Task, outputs: int) -> Dataset:
    """Give labels the shape and dtype that the task's metrics take.

    Args:
        data: As `read_data` returns it.
        task: What the network predicts.
        outputs: Number of classes, or of predicted numbers per example; at least 1.

    Returns:
        Classification: labels `[example]`, int64, in [0, outputs). Regression: `[example, output]`, float32, finite.
        Labels that are None stay None. Inputs as they were.

    Raises:
        InputError: If the labels do not have a shape of the task, are out of range, not whole or not finite.
        UsageError: If `outputs` is below 1.
    """
    if outputs < 1:
        raise UsageError(f"a network with {outputs} outputs has no labels; allowed is 1 or more")
    if data.labels is None:
        return data
    if task is Task.REGRESSION:
        return replace(data, labels=_targets(data.labels, outputs))
    if data.labels.ndim == 2 and data.labels.shape[1] == outputs > 1:
        fitted = replace(data, labels=_from_one_hot(data.labels))
        return fitted.noting(f"one-hot labels {list(data.labels.shape)} taken as classes")
    return replace(data, labels=_classes(data.labels, outputs))


def _classes(labels: AnyArray, outputs: int) -> IntArray:
    if labels.size and labels.min() == 1 and labels.max() == outputs:
        raise InputError(
            f"labels go from 1 to {outputs}, but the network's {outputs} classes count from 0 to {outputs - 1}: "
            f"label {outputs} of example {int(np.argmax(labels))} is out of range",
            hint="The labels seem to count from 1: save y - 1 if so.",
        )
    return class_labels(labels, len(labels), outputs)


def _from_one_hot(labels: AnyArray) -> IntArray:
    ones = labels == 1
    wrong = (np.count_nonzero(ones, axis=1) != 1) | np.any(~ones & (labels != 0), axis=1)
    if wrong.any():
        raise InputError(
            f"the label of example {int(np.argmax(wrong))} is not one-hot (a single 1, all else 0)",
            hint="Save class numbers, for example np.argmax(y, axis=1).",
        )
    return np.asarray(np.argmax(ones, axis=1), dtype=np.int64)


def _targets(labels: AnyArray, outputs: int) -> FloatArray:
    if labels.dtype == np.float64:
        too_large = np.flatnonzero(np.isfinite(labels) & (np.abs(labels) > np.finfo(np.float32).max))
        if too_large.size:
            index = np.unravel_index(int(too_large[0]), labels.shape)
            raise InputError(f"the label {labels[index]} of example {index[0]} does not fit float32")
    return regression_targets(labels, len(labels), outputs)
