"""The signal-to-noise ratio of weights, per layer and of the whole network.

Source: Graves (2011), "Practical variational inference for neural networks"; Blundell et al. (2015), "Weight
uncertainty in neural networks", section 5.1; Sharma and Jennings (2020), section 4.6.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from bprune.arrays import Float64Array
from bprune.posterior.posterior import Posterior

__all__ = ["SNR_QUANTILES", "SnrSummary", "pooled_snr", "summarise_snr"]

SNR_QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
"""The quantiles that every summary reports."""


@dataclass(frozen=True)
class SnrSummary:
    """The distribution of the signal-to-noise ratio over some weights.

    Attributes:
        weights: How many weights.
        kept: How many of them were not pruned before.
        quantiles: The SNR at SNR_QUANTILES, linear.
        below: Share of the weights whose SNR is below the threshold, in [0, 1].
        threshold: That threshold.
    """

    weights: int
    kept: int
    quantiles: tuple[float, ...]
    below: float
    threshold: float


def pooled_snr(posteriors: Iterable[Posterior]) -> Float64Array:
    """The SNR of all weights of some posteriors, `[weight]`, linear, float64."""
    parts = [posterior.snr.reshape(-1) for posterior in posteriors]
    return np.concatenate(parts) if parts else np.zeros(0)


def summarise_snr(posteriors: Iterable[Posterior], threshold: float) -> SnrSummary:
    """Summarise the SNR of the weights of some posteriors.

    Args:
        posteriors: One posterior, a layer's, or all of a network.
        threshold: Linear SNR; a weight is below when its SNR is smaller.
    """
    chosen = tuple(posteriors)
    snr = pooled_snr(chosen)
    if snr.size == 0:
        return SnrSummary(0, 0, (float("nan"),) * len(SNR_QUANTILES), float("nan"), threshold)
    return SnrSummary(
        weights=int(snr.size),
        kept=int(sum(int(posterior.mask.sum()) for posterior in chosen)),
        quantiles=tuple(float(value) for value in np.quantile(snr, SNR_QUANTILES)),
        below=float(np.mean(snr < threshold)),
        threshold=threshold,
    )
