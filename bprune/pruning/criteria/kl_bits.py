"""Information in bits: what the data told about a weight. A report, not an order.

KL(q, p) / ln 2 with the prior p = N(m0, s0^2): (E[(w - m0)^2] / (2 s0^2) + ln(2 pi s0^2) / 2 - H(q)) / ln 2; for a
Normal posterior KL = ln(s0 / s) + (s^2 + (mu - m0)^2) / (2 s0^2) - 1/2.

Source: Hinton and van Camp (1993), "Keeping the neural networks simple by minimizing the description length of the
weights".
"""

from __future__ import annotations

import numpy as np

from bprune.arrays import Float64Array
from bprune.posterior.posterior import Posterior
from bprune.pruning.criteria.base import Context, Criterion

__all__ = ["KlBits"]


class KlBits(Criterion):
    """KL divergence of the posterior from the prior, in bits; 0 for a pruned weight."""

    name = "kl-bits"
    title = "information"
    unit = "bits"
    uses = frozenset({"prior"})
    reported_only = "a weight that is 0 for certain carries many bits, and is the first to prune"

    def score(self, posterior: Posterior, context: Context) -> Float64Array:
        """The information; rounding never makes it negative."""
        prior = context.weight_prior
        spread = np.square(posterior.stddev) + np.square(posterior.mean - prior.loc)
        cross = 0.5 * spread / prior.scale**2 + np.log(prior.scale) + 0.5 * np.log(2.0 * np.pi)
        entropy = posterior.family.entropy(np.asarray(posterior.loc, np.float64), posterior.scale)
        return np.asarray(np.maximum(cross - entropy, 0.0) / np.log(2.0))
