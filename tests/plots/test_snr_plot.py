"""The histogram and distribution of the SNR."""

from __future__ import annotations

import numpy as np
import pytest

from bprune.errors import UnsupportedError, UsageError
from bprune.plots import SnrAxis, snr_data
from bprune.posterior import Network
from tests.plots.plots_world import network, posterior

SNRS = {"den_1": np.array([[0.0, 0.5], [2.0, 8.0]]), "den_2": np.array([1.0, 4.0, 10.0, 100.0])}


def test_shares_per_layer_and_of_all() -> None:
    data = snr_data(network(**SNRS), 4.0)
    assert [item.name for item in data.series] == ["den_1", "den_2", "all layers"]
    assert [item.weights for item in data.series] == [4, 4, 8]
    assert [item.zeros for item in data.series] == [0.25, 0.0, 0.125]
    assert [item.below_threshold for item in data.series] == [0.75, 0.25, 0.5]  # 4 itself is kept
    np.testing.assert_allclose([item.shares.sum() for item in data.series], [0.75, 1.0, 0.875], atol=1e-12)


@pytest.mark.parametrize("axis", SnrAxis)
def test_the_distribution_is_that_of_the_weights(axis: SnrAxis) -> None:
    snr = np.random.default_rng(0).lognormal(1.0, 1.5, 500)
    data = snr_data(network(den_1=snr), 3.0, axis)
    edges = 10.0 ** (data.edges / 20.0) if axis is SnrAxis.DB else data.edges
    below = data.series[0].below
    np.testing.assert_allclose(below, [np.mean(snr < edge * (1 - 1e-12)) for edge in edges], atol=0.0021)
    assert (np.diff(below) >= 0.0).all()
    assert (np.diff(data.edges) > 0.0).all()
    assert data.edges[0] <= (20.0 * np.log10(3.0) if axis is SnrAxis.DB else 3.0) <= data.edges[-1]
    np.testing.assert_allclose(np.diff(below)[1:], data.series[0].shares[1:], atol=1e-12)


def test_decibel_are_twenty_times_the_logarithm() -> None:
    snr = np.geomspace(0.1, 100.0, 50)
    linear, decibel = (snr_data(network(den_1=snr), axis=axis) for axis in (SnrAxis.LOG, SnrAxis.DB))
    np.testing.assert_allclose(decibel.edges, 20.0 * np.log10(linear.edges))
    np.testing.assert_array_equal(decibel.series[0].shares, linear.series[0].shares)


def test_pruned_weights_are_zeros_and_a_few_tiny_ones_do_not_stretch_the_axis() -> None:
    snr = np.concatenate([np.linspace(1.0, 10.0, 999), [1e-300]])
    mask = np.arange(1000) % 4 > 0
    data = snr_data(Network((posterior("den_1/kernel", snr, mask),)), 0.0)
    assert data.series[0].zeros == 0.25
    assert data.edges[0] > 1e-5
    assert data.series[0].below[0] >= 0.25


def test_nothing_to_show() -> None:
    with pytest.raises(UnsupportedError, match="no weight with an SNR above 0"):
        snr_data(network(den_1=np.zeros(4)))
    with pytest.raises(UnsupportedError, match="no weight with an SNR above 0"):
        snr_data(Network(()))
    with pytest.raises(UsageError, match="must be a number of at least 0"):
        snr_data(network(**SNRS), -1.0)
