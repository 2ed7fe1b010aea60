"""Bayesian model reduction, spike limit: prune where the evidence favours a network without the weight.

The Savage-Dickey ratio: dF = ln p(0) - ln q(0), with the prior p = N(m0, s0^2), is by how many nats the variational
free energy rises without the weight. For a Normal posterior dF = r^2 / 2 - m0^2 / (2 s0^2) - ln(s0 / s): with m0 = 0 an
SNR threshold of sqrt(2 ln(s0 / s)) that every weight finds for itself.

Source: Friston and Penny (2011), "Post hoc Bayesian model selection", NeuroImage 56; Beckers et al. (2024), "Principled
pruning of Bayesian neural networks through variational free energy minimization".
"""

from __future__ import annotations

import numpy as np

from bprune.arrays import Float64Array
from bprune.posterior.posterior import Posterior
from bprune.pruning.criteria.base import Context, Criterion

__all__ = ["NO_DENSITY_AT_ZERO", "BayesianModelReduction", "spike_evidence"]

NO_DENSITY_AT_ZERO = "a LogNormal weight has a density of 0 at 0, and its prior is not a Normal"
"""Why a LogNormal posterior has no such evidence."""


def spike_evidence(posterior: Posterior, context: Context) -> Float64Array:
    """dF = ln p(0) - ln q(0) in nats, of the weight's shape."""
    prior = context.weight_prior
    log_prior = -0.5 * (prior.loc / prior.scale) ** 2 - np.log(prior.scale) - 0.5 * np.log(2.0 * np.pi)
    return np.asarray(
        log_prior - posterior.family.log_density_at_zero(np.asarray(posterior.loc, np.float64), posterior.scale)
    )


class BayesianModelReduction(Criterion):
    """dF in nats, with a threshold of 0: a weight goes where the evidence is for a network without it."""

    name = "bmr"
    title = "free energy lost without the weight"
    unit = "dF (nats)"
    own_threshold = 0.0
    lowest = -np.inf
    uses = frozenset({"prior"})
    families = frozenset({"Normal", "Laplace"})
    refusal = NO_DENSITY_AT_ZERO

    def score(self, posterior: Posterior, context: Context) -> Float64Array:
        """dF."""
        return spike_evidence(posterior, context)
