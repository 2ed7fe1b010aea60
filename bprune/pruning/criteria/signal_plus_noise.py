"""Signal plus noise (SPR): prune what is small and certain.

For repeating older work; at most rates it costs more than SNR.

Source: Deo et al. (2025), "Compact Bayesian neural networks via pruned MCMC sampling"; also compared in Beckers et al.
(2024), "Principled pruning of Bayesian neural networks through variational free energy minimization".
"""

from __future__ import annotations

import numpy as np

from bprune.arrays import Float64Array
from bprune.posterior.posterior import Posterior
from bprune.pruning.criteria.base import Context, Criterion

__all__ = ["SignalPlusNoise"]


class SignalPlusNoise(Criterion):
    """|E[w]| + sqrt(Var[w])."""

    name = "signal-plus-noise"
    title = "signal plus noise"
    unit = "|mean| + stddev"

    def score(self, posterior: Posterior, context: Context) -> Float64Array:
        """The sum of the mean's magnitude and the standard deviation."""
        return np.asarray(np.abs(posterior.mean) + posterior.stddev)
