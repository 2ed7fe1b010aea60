"""Signal-to-noise ratio: prune what is mostly noise.

Source: Graves (2011), section 5; Blundell et al. (2015), section 5.1; Sharma and Jennings (2020), section 4.6.
"""

from __future__ import annotations

from bprune.arrays import Float64Array
from bprune.posterior.posterior import Posterior
from bprune.pruning.criteria.base import Context, Criterion

__all__ = ["Snr"]


class Snr(Criterion):
    """r = |E[w]| / sqrt(Var[w]); for a Normal posterior |loc| / scale."""

    name = "snr"
    title = "signal-to-noise ratio"
    unit = "SNR (linear)"
    own_threshold = 10.0

    def score(self, posterior: Posterior, context: Context) -> Float64Array:
        """The linear SNR."""
        return posterior.snr
