"""Group Bayesian model reduction: prune whole output units where the evidence favours a network without them.

Under a mean-field posterior the evidence of a group is exactly the sum of the dF of its weights; see `bmr`.

Source: Friston and Penny (2011), "Post hoc Bayesian model selection", NeuroImage 56; Beckers et al. (2024), "Principled
pruning of Bayesian neural networks through variational free energy minimization".
"""

from __future__ import annotations

import numpy as np

from bprune.arrays import Float64Array
from bprune.posterior.posterior import Posterior
from bprune.pruning.criteria.base import Context, Criterion
from bprune.pruning.criteria.bmr import NO_DENSITY_AT_ZERO, spike_evidence
from bprune.pruning.criteria.units import unit_sums

__all__ = ["GroupBayesianModelReduction"]


class GroupBayesianModelReduction(Criterion):
    """The sum of dF over the kept weights of an output unit, in nats, with a threshold of 0."""

    name = "group-bmr"
    title = "free energy lost without the output unit"
    unit = "dF of the unit (nats)"
    own_threshold = 0.0
    lowest = -np.inf
    uses = frozenset({"prior"})
    families = frozenset({"Normal", "Laplace"})
    refusal = NO_DENSITY_AT_ZERO
    whole_units = True

    def score(self, posterior: Posterior, context: Context) -> Float64Array:
        """dF of the unit that a weight belongs to; infinite for an output of the network, which never goes."""
        if context.is_output:
            return np.full(posterior.shape, np.inf)
        return unit_sums(posterior, context.layer, lambda item: spike_evidence(item, context))
