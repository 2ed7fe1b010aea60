"""From a network's raw output to the parameters of its predictive distribution."""

from __future__ import annotations

import numpy as np
from scipy.special import softmax

from bprune.arrays import AnyArray, FloatArray
from bprune.case.output import Output
from bprune.errors import SelfCheckError, UnsupportedError

__all__ = ["check_finite", "class_probabilities", "predicted_values"]

_SUM_TOLERANCE = 1e-3


def class_probabilities(output: AnyArray, examples: int, kind: Output) -> FloatArray:
    """Class probabilities of one draw.

    Args:
        output: `[example, class]` logits or probabilities; one column (or none) is the logit or probability of the
            second of two classes.
        examples: How many examples went in.
        kind: Whether the output holds logits or probabilities.

    Returns:
        `[example, class]`, float32, sum to 1 on the last axis.

    Raises:
        UnsupportedError: If the output is not one row per example.
        SelfCheckError: If probabilities do not sum to 1.
    """
    columns = output.reshape(-1, 1) if output.ndim == 1 else output
    if columns.ndim != 2 or columns.shape[0] != examples:
        raise UnsupportedError(
            f"the output of a classifier must be [example, class]; it is {list(output.shape)} for {examples} examples",
            hint="Name another output with --output-op, or say --task regression.",
        )
    if kind is Output.LOGITS:
        logits = np.concatenate([np.zeros_like(columns), columns], axis=1) if columns.shape[1] == 1 else columns
        return np.asarray(softmax(logits, axis=1), np.float32)
    probabilities = np.concatenate([1.0 - columns, columns], axis=1) if columns.shape[1] == 1 else columns
    if (
        np.abs(probabilities.sum(axis=1) - 1.0).max(initial=0.0) > _SUM_TOLERANCE
        or probabilities.min(initial=0.0) < 0.0
    ):
        raise SelfCheckError(
            "the output is said to hold probabilities, but they are negative or do not sum to 1",
            hint="Is it logits? Write the case with the logits, or name them with --output-op.",
        )
    return np.asarray(probabilities, np.float32)


def predicted_values(output: AnyArray, examples: int) -> FloatArray:
    """Predictive means (or standard deviations) of one draw, `[example, output]`; further axes are flattened.

    Raises:
        UnsupportedError: If the output does not begin with the example axis.
    """
    if output.ndim == 0 or output.shape[0] != examples:
        raise UnsupportedError(
            f"the output of a regression must be [example, ...]; it is {list(output.shape)} for {examples} examples",
            hint="Name another output with --output-op.",
        )
    return np.asarray(output.reshape(examples, -1), np.float32)


def check_finite(draw: int, *values: AnyArray) -> None:
    """Refuse a draw with values that are not finite.

    Raises:
        SelfCheckError: If there is one.
    """
    if not all(np.isfinite(item).all() for item in values):
        raise SelfCheckError(
            f"draw {draw} gives values that are not finite",
            hint="Check the scaling of the inputs and that the training had converged.",
        )
