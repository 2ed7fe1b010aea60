"""Posteriors of weights: recognise them in a case, and measure their signal-to-noise ratio."""

from __future__ import annotations

from bprune.posterior.families import FAMILIES, Family
from bprune.posterior.posterior import Network, Posterior, Stored, Unrecognised
from bprune.posterior.recognise import read_network
from bprune.posterior.snr import SNR_QUANTILES, SnrSummary, pooled_snr, summarise_snr
from bprune.posterior.transform import PRUNED_UNTRANSFORMED_SCALE, ScaleTransform
from bprune.posterior.values import pruned_values

__all__ = [
    "FAMILIES",
    "PRUNED_UNTRANSFORMED_SCALE",
    "SNR_QUANTILES",
    "Family",
    "Network",
    "Posterior",
    "ScaleTransform",
    "SnrSummary",
    "Stored",
    "Unrecognised",
    "pooled_snr",
    "pruned_values",
    "read_network",
    "summarise_snr",
]
