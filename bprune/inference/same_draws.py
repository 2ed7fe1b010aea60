"""Whether two engines give the same numbers in the same draws, up to rounding (law 6 of DESIGN)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bprune.arrays import AnyArray, Float64Array
from bprune.case.task import Task
from bprune.engines.base import Draws
from bprune.errors import SelfCheckError, UsageError

__all__ = ["Difference", "compare_draws"]


@dataclass(frozen=True)
class Difference:
    """The largest difference between two engines' values of the same draw.

    Attributes:
        error: The difference. Classification: of probabilities. Regression: relative to the larger of the value and
            the median size of the example's values.
        tolerance: The largest error that is allowed.
        draws: How many draws were compared.
        draw: The position of the draw where the error occurs.
        example: The example where it occurs.
        output: The class or output where it occurs.
    """

    error: float
    tolerance: float
    draws: int
    draw: int
    example: int
    output: int

    @property
    def within(self) -> bool:
        """Whether the two are the same up to the tolerance."""
        return self.error <= self.tolerance


def compare_draws(first: Draws, second: Draws, task: Task, *, tolerance: float) -> Difference:
    """Compare the same draws of two engines; predicted scales of a regression count like its means.

    Args:
        first: Draws of one engine.
        second: The same draws of the other.
        task: What the network predicts.
        tolerance: The largest error that is allowed.

    Raises:
        UsageError: If the two are not of the same shape, or hold nothing.
        SelfCheckError: If a value is not finite.
    """
    pairs = [(first.values, second.values)]
    if first.scale is not None and second.scale is not None:
        pairs.append((first.scale, second.scale))
    if (first.scale is None) != (second.scale is None) or any(a.shape != b.shape or not a.size for a, b in pairs):
        raise UsageError(f"draws of the shapes {first.values.shape} and {second.values.shape} cannot be compared")
    errors = np.max([_errors(a, b, task) for a, b in pairs], axis=0)
    if not np.isfinite(errors).all():
        raise SelfCheckError("the draws hold values that are not finite")
    draw, example, output = (int(index) for index in np.unravel_index(int(np.argmax(errors)), errors.shape))
    return Difference(float(errors[draw, example, output]), tolerance, len(errors), draw, example, output)


def _errors(first: AnyArray, second: AnyArray, task: Task) -> Float64Array:
    """`[draw, example, output]`, float64."""
    a, b = first.astype(np.float64), second.astype(np.float64)
    if task is Task.CLASSIFICATION:
        return np.asarray(np.abs(a - b))
    typical = np.median(np.max(np.abs(a), axis=2), axis=0)[None, :, None]
    return np.asarray(np.abs(a - b) / np.maximum(np.maximum(np.abs(a), typical), np.finfo(np.float32).tiny))
