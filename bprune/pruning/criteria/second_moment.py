"""Second moment: prune what is near 0 in every draw.

E[w^2] is the squared 2-Wasserstein distance between the posterior and a point mass at 0.

Source: Villani (2009), "Optimal transport: old and new", definition 6.1; with a point mass, the product is the only
coupling.
"""

from __future__ import annotations

import numpy as np

from bprune.arrays import Float64Array
from bprune.posterior.posterior import Posterior
from bprune.pruning.criteria.base import Context, Criterion

__all__ = ["SecondMoment"]


class SecondMoment(Criterion):
    """E[w^2] = E[w]^2 + Var[w]."""

    name = "second-moment"
    title = "second moment"
    unit = "E[w^2]"

    def score(self, posterior: Posterior, context: Context) -> Float64Array:
        """The second moment."""
        return np.asarray(np.square(posterior.mean) + np.square(posterior.stddev))
