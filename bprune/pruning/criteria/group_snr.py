"""Group SNR: prune whole output units, so that the network itself becomes smaller.

The Euclidean norm of the means of a unit's weights over that of their standard deviations.

Source: the SNR of Graves (2011) for a group, after the groups of Louizos et al. (2017), "Bayesian compression for deep
learning", section 3.
"""

from __future__ import annotations

import numpy as np

from bprune.arrays import Float64Array
from bprune.posterior.posterior import Posterior
from bprune.pruning.criteria.base import Context, Criterion
from bprune.pruning.criteria.units import unit_sums

__all__ = ["GroupSnr"]


class GroupSnr(Criterion):
    """sqrt(sum E[w]^2 / sum Var[w]) over the kept weights of an output unit."""

    name = "group-snr"
    title = "signal-to-noise ratio of the output unit"
    unit = "SNR of the unit (linear)"
    whole_units = True

    def score(self, posterior: Posterior, context: Context) -> Float64Array:
        """The SNR of the unit that a weight belongs to; infinite for an output of the network, which never goes."""
        if context.is_output:
            return np.full(posterior.shape, np.inf)
        signal = unit_sums(posterior, context.layer, lambda item: np.square(item.mean))
        noise = unit_sums(posterior, context.layer, lambda item: np.square(item.stddev))
        return np.sqrt(signal / noise)
