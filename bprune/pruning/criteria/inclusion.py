"""Inclusion probability: how likely it is, after the data, that the network has the weight at all.

Of two networks, with the weight (prior probability rho) and without it, P(with | data) is
sigmoid(dF + ln(rho / (1 - rho))) with the dF of `bmr`. A threshold of 0.5 gives the median probability model.

Source: Barbieri and Berger (2004), "Optimal predictive model selection", Annals of Statistics 32.
"""

from __future__ import annotations

import numpy as np
from scipy import special

from bprune.arrays import Float64Array
from bprune.posterior.posterior import Posterior
from bprune.pruning.criteria.base import Context, Criterion
from bprune.pruning.criteria.bmr import NO_DENSITY_AT_ZERO, spike_evidence

__all__ = ["Inclusion"]


class Inclusion(Criterion):
    """P(the weight is there | data), with a threshold of 0.5."""

    name = "inclusion"
    title = "inclusion probability"
    unit = "P(included)"
    own_threshold = 0.5
    uses = frozenset({"prior", "inclusion"})
    families = frozenset({"Normal", "Laplace"})
    refusal = NO_DENSITY_AT_ZERO

    def score(self, posterior: Posterior, context: Context) -> Float64Array:
        """The probability; with a dF above about 37 it rounds to 1."""
        return np.asarray(special.expit(spike_evidence(posterior, context) + special.logit(context.prior_inclusion)))

    def rank(self, posterior: Posterior, context: Context) -> Float64Array:
        """dF, which does not round to the same number."""
        return spike_evidence(posterior, context)
