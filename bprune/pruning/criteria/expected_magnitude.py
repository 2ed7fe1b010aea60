"""Expected magnitude: prune what is small in the mean over draws.

Source: Leone, Nelson and Nottingham (1961), "The folded normal distribution", Technometrics 3, for a Normal posterior.
"""

from __future__ import annotations

import numpy as np

from bprune.arrays import Float64Array
from bprune.posterior.posterior import Posterior
from bprune.pruning.criteria.base import Context, Criterion

__all__ = ["ExpectedMagnitude"]


class ExpectedMagnitude(Criterion):
    """E|w|; for a Normal posterior s sqrt(2 / pi) exp(-r^2 / 2) + |m| erf(r / sqrt(2))."""

    name = "expected-magnitude"
    title = "expected magnitude"
    unit = "E|w|"

    def score(self, posterior: Posterior, context: Context) -> Float64Array:
        """The expected magnitude."""
        return posterior.family.expected_magnitude(np.asarray(posterior.loc, np.float64), posterior.scale)
