"""Sign certainty: prune the weights whose sign is open.

For a Normal posterior P = Phi(r), so that the order is that of `snr`; the threshold is a probability.

Source: the posterior probability of the sign, or "probability of direction": Makowski et al. (2019), "Indices of effect
existence and significance in the Bayesian framework", Frontiers in Psychology 10.
"""

from __future__ import annotations

import numpy as np

from bprune.arrays import Float64Array
from bprune.posterior.posterior import Posterior
from bprune.pruning.criteria.base import Context, Criterion

__all__ = ["SignCertainty"]


class SignCertainty(Criterion):
    """P(sign(w) = sign(E[w])), from 0.5 to 1: 0.95 prunes what has a chance above 5 % of the other sign."""

    name = "sign"
    title = "certainty of the sign"
    unit = "P(sign of the mean)"
    families = frozenset({"Normal", "Laplace"})
    refusal = "the sign of a LogNormal weight is never open"

    def score(self, posterior: Posterior, context: Context) -> Float64Array:
        """The probability; above an SNR of about 8 it rounds to 1."""
        return np.asarray(-np.expm1(self._log_wrong(posterior)))

    def rank(self, posterior: Posterior, context: Context) -> Float64Array:
        """-ln P(other sign), which does not round to the same number."""
        return -self._log_wrong(posterior)

    def _log_wrong(self, posterior: Posterior) -> Float64Array:
        return posterior.family.log_wrong_sign(np.asarray(posterior.loc, np.float64), posterior.scale)
