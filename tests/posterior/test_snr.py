"""SNR per layer and of the whole network."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bprune.case import load_case
from bprune.posterior import pooled_snr, read_network, summarise_snr


def test_summary_is_that_of_all_weights(mixed_case: Path) -> None:
    network = read_network(load_case(mixed_case))
    everything = np.concatenate([posterior.snr.reshape(-1) for posterior in network.posteriors])
    summary = summarise_snr(network.posteriors, 1.0)
    np.testing.assert_array_equal(pooled_snr(network.posteriors), everything)
    assert summary.weights == everything.size == 48 + 56 + 35 + 5 + 15
    assert summary.quantiles[0] == everything.min()
    assert summary.quantiles[3] == np.median(everything)
    assert summary.below == np.mean(everything < 1.0)


def test_nothing_prunable() -> None:
    summary = summarise_snr([], 10.0)
    assert summary.weights == 0
    assert np.isnan(summary.below)
