"""Bayesian model reduction, general form: prune where the evidence favours a narrower prior around 0.

The prior N(m0, s0^2) becomes N(0, st^2) without training. With the precisions Pf = 1 / s^2, P0 = 1 / s0^2,
Pt = 1 / st^2 and P = Pf + Pt - P0, m = (Pf mu - P0 m0) / P:

    dF = -ln E_q[p_reduced / p] = (Pf mu^2 - P0 m0^2 - P m^2) / 2 - ln(Pt Pf / (P0 P)) / 2

P is above 0 because the reduced prior is the narrower one. `bmr` is the limit for st = 0.

Source: Friston and Penny (2011), "Post hoc Bayesian model selection", NeuroImage 56.
"""

from __future__ import annotations

import numpy as np

from bprune.arrays import Float64Array
from bprune.posterior.posterior import Posterior
from bprune.pruning.criteria.base import Context, Criterion

__all__ = ["ReducedPrior"]


class ReducedPrior(Criterion):
    """dF in nats, with a threshold of 0: a weight goes where the evidence is for the reduced prior."""

    name = "bmr-reduced"
    title = "free energy lost by the reduced prior"
    unit = "dF (nats)"
    own_threshold = 0.0
    lowest = -np.inf
    uses = frozenset({"prior", "reduced_scale"})
    families = frozenset({"Normal"})
    refusal = "between two Normal priors the evidence has a closed form for Normal posteriors alone"

    def score(self, posterior: Posterior, context: Context) -> Float64Array:
        """dF."""
        assert context.reduced_scale is not None  # a rule refuses that
        prior = context.weight_prior
        loc = np.asarray(posterior.loc, np.float64)
        full, before, reduced = 1.0 / np.square(posterior.scale), prior.scale**-2, context.reduced_scale**-2
        precision = full + (reduced - before)
        # Pf mu^2 - P0 m0^2 - P m^2 without the difference of large squares
        gap, shift = reduced - before, before * prior.loc
        squares = (full * gap * np.square(loc) + 2.0 * full * loc * shift - shift**2) / precision
        squares = squares - before * prior.loc**2
        return np.asarray(0.5 * squares - 0.5 * np.log((reduced / before) * (full / precision)))
