"""The comparison of the same draws: what it measures, and where it says that the error is."""

from __future__ import annotations

import numpy as np
import pytest

from bprune.arrays import AnyArray
from bprune.case.task import Task
from bprune.engines.base import Draws
from bprune.errors import SelfCheckError, UsageError
from bprune.inference.same_draws import compare_draws


def _values(seed: int = 1) -> AnyArray:
    return np.random.default_rng(seed).normal(100.0, 1.0, (5, 4, 3)).astype(np.float32)


def test_equal_draws_do_not_differ() -> None:
    result = compare_draws(Draws(_values()), Draws(_values()), Task.REGRESSION, tolerance=0.0)
    assert result.error == 0.0
    assert result.within


def test_an_error_is_relative_for_a_regression_and_absolute_for_probabilities() -> None:
    changed = _values()
    changed[3, 1, 2] *= 1.001
    first, second = Draws(_values()), Draws(changed)
    relative = compare_draws(first, second, Task.REGRESSION, tolerance=1e-4)
    assert relative.error == pytest.approx(1e-3, rel=3e-2)
    assert not relative.within
    assert (relative.draws, relative.draw, relative.example, relative.output) == (5, 3, 1, 2)
    assert compare_draws(first, second, Task.CLASSIFICATION, tolerance=1e-4).error == pytest.approx(0.1, rel=3e-2)


def test_a_value_near_zero_is_measured_by_the_size_of_the_others() -> None:
    first, second = _values(), _values()
    first[0, 0, 0], second[0, 0, 0] = 0.0, 1e-4
    assert compare_draws(Draws(first), Draws(second), Task.REGRESSION, tolerance=1e-5).within


def test_a_scale_counts_too() -> None:
    first, second = Draws(_values(), _values()), Draws(_values(), _values() * np.float32(1.01))
    assert not compare_draws(first, second, Task.REGRESSION, tolerance=1e-4).within


@pytest.mark.parametrize("other", [Draws(_values()[:4]), Draws(_values(), _values())])
def test_different_shapes(other: Draws) -> None:
    with pytest.raises(UsageError, match="cannot be compared"):
        compare_draws(Draws(_values()), other, Task.REGRESSION, tolerance=1.0)


def test_values_that_are_not_finite() -> None:
    bad = _values()
    bad[0] = np.inf
    with pytest.raises(SelfCheckError, match="not finite"):
        compare_draws(Draws(_values()), Draws(bad), Task.REGRESSION, tolerance=1.0)
