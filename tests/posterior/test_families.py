"""Means and standard deviations of the families against TFP and Monte Carlo."""

from __future__ import annotations

import numpy as np
import pytest

from bprune.posterior.families import FAMILIES

LOC = np.array([-1.5, 0.0, 0.25, 2.0])
SCALE = np.array([0.3, 1.2, 0.01, 0.7])


@pytest.mark.parametrize("name", FAMILIES)
def test_agrees_with_tfp(name: str) -> None:
    import tensorflow_probability as tfp

    family = FAMILIES[name]
    reference = getattr(tfp.distributions, name)(loc=LOC, scale=SCALE)
    mean, stddev = family.mean(LOC, SCALE), family.stddev(LOC, SCALE)
    np.testing.assert_allclose(mean, reference.mean(), rtol=1e-12)
    np.testing.assert_allclose(stddev, reference.stddev(), rtol=1e-12)
    np.testing.assert_allclose(family.snr(LOC, SCALE), np.abs(mean) / stddev, rtol=1e-12)


@pytest.mark.parametrize("name", FAMILIES)
def test_pruned_location_samples_exactly_zero(name: str) -> None:
    import tensorflow as tf
    import tensorflow_probability as tfp

    loc = tf.fill([1000], tf.constant(FAMILIES[name].pruned_loc, tf.float32))
    samples = getattr(tfp.distributions, name)(loc=loc, scale=tf.fill([1000], 1e-30)).sample(seed=3)
    assert np.abs(samples.numpy()).max() < 1e-25


def test_lognormal_snr_does_not_overflow() -> None:
    snr = FAMILIES["LogNormal"].snr(np.array([800.0, -800.0]), np.array([0.1, 0.1]))
    np.testing.assert_allclose(snr, 1.0 / np.sqrt(np.expm1(0.01)))
