"""From stored values to standard deviations."""

from __future__ import annotations

import numpy as np
import pytest

from bprune.posterior.transform import PRUNED_UNTRANSFORMED_SCALE, ScaleTransform


def test_zero_is_not_pruned() -> None:
    """The predecessor's bug: softplus(0) = 0.693, the noisiest weight of the network."""
    transform = ScaleTransform(floor=float(np.finfo(np.float32).eps))
    assert transform.scale(np.zeros(1, np.float32))[0] == pytest.approx(np.log(2.0), abs=1e-6)
    assert transform.scale(np.full(1, PRUNED_UNTRANSFORMED_SCALE, np.float32))[0] == np.finfo(np.float32).eps


def test_tutorial_form() -> None:
    transform = ScaleTransform(floor=1e-5, shift=float(np.log(np.expm1(1.0))))
    assert transform.scale(np.zeros(1))[0] == pytest.approx(1.0 + 1e-5)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_pruned_value_is_finite_and_exact_in(dtype: str) -> None:
    value = np.asarray(PRUNED_UNTRANSFORMED_SCALE, dtype)
    assert float(value) == PRUNED_UNTRANSFORMED_SCALE


def test_negative_gain_is_stored_with_the_other_sign() -> None:
    transform = ScaleTransform(floor=0.0, gain=-1.0)
    assert transform.reaches_zero
    assert transform.scale(np.array([transform.pruned]))[0] == 0.0
    assert not ScaleTransform(floor=0.0, gain=1e-3).reaches_zero
