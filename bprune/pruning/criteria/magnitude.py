"""Magnitude of the mean: prune what is small, however certain it is.

Source: Han et al. (2015), "Learning both weights and connections for efficient neural networks", section 3.
"""

from __future__ import annotations

import numpy as np

from bprune.arrays import Float64Array
from bprune.posterior.posterior import Posterior
from bprune.pruning.criteria.base import Context, Criterion

__all__ = ["Magnitude"]


class Magnitude(Criterion):
    """|E[w]|."""

    name = "magnitude"
    title = "magnitude of the mean"
    unit = "|mean|"

    def score(self, posterior: Posterior, context: Context) -> Float64Array:
        """The magnitude of the mean."""
        return np.abs(posterior.mean)
