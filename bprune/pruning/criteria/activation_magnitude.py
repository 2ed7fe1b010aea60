"""Activation-aware magnitude: prune what adds little to the sums that it is part of, on data like yours.

sqrt(E[x^2]) |E[w]|, with x the input that the weight multiplies, over a few examples; labels play no part.

Source: Sun et al. (2024), "A simple and effective pruning approach for large language models" (Wanda), equation 1, with
the mean of the posterior as the weight.
"""

from __future__ import annotations

import numpy as np

from bprune.arrays import Float64Array
from bprune.posterior.posterior import Posterior
from bprune.pruning.criteria.base import Context, Criterion

__all__ = ["ActivationMagnitude"]


class ActivationMagnitude(Criterion):
    """sqrt(E[x^2]) |E[w]|."""

    name = "activation-magnitude"
    title = "magnitude of the mean contribution"
    unit = "sqrt(E[x^2]) |mean|"
    uses = frozenset({"activations"})

    def score(self, posterior: Posterior, context: Context) -> Float64Array:
        """The root mean square of what the mean of the weight adds."""
        assert context.activations is not None  # scoring a network refuses that
        return np.asarray(np.sqrt(context.activations.mean_square[posterior.name]) * np.abs(posterior.mean))
