"""Signal-to-noise ratio in decibels: the order of `snr`, on the axis on which it is usually drawn.

Source: Blundell et al. (2015), "Weight uncertainty in neural networks", section 5.1.
"""

from __future__ import annotations

import numpy as np

from bprune.arrays import Float64Array
from bprune.posterior.posterior import Posterior
from bprune.pruning.criteria.base import Context, Criterion

__all__ = ["SnrDecibels"]


class SnrDecibels(Criterion):
    """20 log10(|E[w]| / sqrt(Var[w])); -inf for a mean of 0."""

    name = "snr-db"
    title = "signal-to-noise ratio"
    unit = "dB"
    lowest = -np.inf

    def score(self, posterior: Posterior, context: Context) -> Float64Array:
        """The SNR in dB."""
        return np.asarray(20.0 * np.log10(posterior.snr))
