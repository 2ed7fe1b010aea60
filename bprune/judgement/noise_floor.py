"""Whether two sets of predictions differ by more than finite draws explain.

The statistic is the mean over examples of the squared difference of two means over draws, Q. How large it is for the
same network in two runs is known from the runs themselves: halves of the draws (see `bprune.metrics.blocks`) give 19
differences that hold nothing but noise, of the same size as that of the means, and independent of it and of each
other up to the normal approximation of block means. So Q / mean(Q_k) has, for equal networks, an F law with r and 19
r degrees of freedom, where r says how many independent directions the noise has; draws are shared between examples,
so that it can be as few as one. r is estimated from the scatter of the Q_k, divided by three and not taken below 1,
which is too few rather than too many: simulated with 1 to 50 directions of equal and unequal size, false alarms are
at most as many as stated.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.stats import f

from bprune.arrays import AnyArray, Float64Array
from bprune.metrics.predictions import Predictions

__all__ = ["FALSE_ALARM", "NoiseTest", "compare_with_noise", "noise_differences"]

FALSE_ALARM = 1e-3
"""How often, at most, two runs of one network are called different."""

_CAUTION = 3.0


@dataclass(frozen=True)
class NoiseTest:
    """The outcome.

    Attributes:
        ratio: Q in units of its mean for equal networks; NaN where the noise is not known, or both are 0.
        limit: The ratio above which networks are called different; NaN where the noise is not known.
        false_alarm: How often, at most, equal networks are called different.
    """

    ratio: float
    limit: float
    false_alarm: float = FALSE_ALARM

    @property
    def is_different(self) -> bool:
        """Whether finite draws do not explain the difference; False where that cannot be known."""
        return bool(self.ratio > self.limit)


def noise_differences(first: Predictions, second: Predictions) -> Iterator[Float64Array]:
    """Differences of means, second minus first, that hold noise alone; none without blocks.

    Args:
        first: Predictions of one run.
        second: Predictions of another run for the same examples.

    Yields:
        `[example, class or output]`, as large as the noise of the difference of the means.
    """
    for before, after in zip(_noise(first), _noise(second), strict=False):
        yield after - before


def _noise(predictions: Predictions) -> Iterator[Float64Array]:
    scale = predictions.half_scale / 2.0
    for one, other in predictions.halves():
        yield np.asarray(scale * (one.mean - other.mean))


def compare_with_noise(
    first: Predictions,
    second: Predictions,
    unit: AnyArray | float = 1.0,
    differences: list[Float64Array] | None = None,
    *,
    false_alarm: float = FALSE_ALARM,
) -> NoiseTest:
    """Compare the difference of two predictions with the noise of both.

    Args:
        first: Predictions of one run.
        second: Predictions of another run for the same examples.
        unit: What differences are divided by, `[example, class or output]` or one number.
        differences: What `noise_differences` gives; None computes it.
        false_alarm: How often, at most, equal networks are called different.
    """
    noise = list(noise_differences(first, second)) if differences is None else differences
    difference = np.asarray(second.mean, np.float64) - first.mean
    value = _size(difference, unit)
    sizes = np.array([_size(item, unit) for item in noise])
    if not len(sizes):
        return NoiseTest(float("nan"), float("nan"), false_alarm)
    mean, spread = float(sizes.mean()), float(sizes.var(ddof=1))
    if mean == 0.0:  # no draw differs from another: any difference is one of the networks
        return NoiseTest(float("inf") if value > 0.0 else float("nan"), 1.0, false_alarm)
    directions = max(1.0, 2.0 * mean**2 / spread / _CAUTION) if spread > 0.0 else 1.0
    limit = float(f.isf(false_alarm, directions, len(sizes) * directions))
    return NoiseTest(value / mean, limit, false_alarm)


def _size(difference: Float64Array, unit: AnyArray | float) -> float:
    return float(np.mean(np.sum(np.square(difference / unit), axis=-1)))
