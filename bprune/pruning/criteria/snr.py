"""Signal-to-noise ratio: prune what is mostly noise.

Source: Graves (2011), section 5; Blundell et al. (2015), section 5.1; Sharma and Jennings (2020), section 4.6.
"""

from __future__ import annotations

from bprune.arrays import Float64Array
from bprune.posterior.posterior import Posterior

__all__ = ["Snr"]


class Snr:
    """|E[w]| / sqrt(Var[w]); for a Normal posterior |loc| / scale."""

    name = "snr"
    unit = "SNR (linear)"

    def score(self, posterior: Posterior) -> Float64Array:
        """The linear SNR; 0 for a weight that was pruned before."""
        return posterior.snr
