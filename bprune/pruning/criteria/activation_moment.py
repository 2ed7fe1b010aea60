"""Activation-aware second moment: prune what adds little to the sums that it is part of, signal and noise together.

E[x^2] E[w^2] = E[x^2] (E[w]^2 + Var[w]), with x the input that the weight multiplies, over a few examples; labels play
no part. It is the mean square of what the weight adds in a draw.

Source: Sun et al. (2024), "A simple and effective pruning approach for large language models" (Wanda), with the second
moment of the posterior in place of the weight's square.
"""

from __future__ import annotations

import numpy as np

from bprune.arrays import Float64Array
from bprune.posterior.posterior import Posterior
from bprune.pruning.criteria.base import Context, Criterion

__all__ = ["ActivationMoment"]


class ActivationMoment(Criterion):
    """E[x^2] (E[w]^2 + Var[w])."""

    name = "activation-moment"
    title = "mean square of the contribution"
    unit = "E[x^2] E[w^2]"
    uses = frozenset({"activations"})

    def score(self, posterior: Posterior, context: Context) -> Float64Array:
        """The mean square of what the weight adds."""
        assert context.activations is not None  # scoring a network refuses that
        moment = np.square(posterior.mean) + np.square(posterior.stddev)
        return np.asarray(context.activations.mean_square[posterior.name] * moment)
