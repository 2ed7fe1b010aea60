"""Metrics of both halves of the draws, for every choice of halves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from bprune.arrays import Float64Array
from bprune.metrics.predictions import Predictions

__all__ = ["half_differences"]


def half_differences(predictions: Predictions, functions: Sequence[Callable[[Any], float]]) -> tuple[Float64Array, ...]:
    """How much numbers of the predictions differ between halves of the draws.

    Args:
        predictions: The predictions.
        functions: Numbers of predictions.

    Returns:
        For each function scale (f(half) - f(other half)) / 2, `[half]`, for `bprune.metrics.blocks.mc_stderr`; empty
        where there are no halves. Those of two runs of the same examples may be subtracted.
    """
    scale = predictions.half_scale / 2.0
    rows = [[function(one) - function(other) for function in functions] for one, other in predictions.halves()]
    if not rows:
        return tuple(np.zeros(0) for _ in functions)
    return tuple(scale * np.array(column) for column in zip(*rows, strict=True))
