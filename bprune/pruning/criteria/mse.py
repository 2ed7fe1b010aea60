"""Where dropping a weight lowers the error of a single draw: an SNR below 1.

One sampled contribution w x stands for E[w] x. Keeping the weight costs Var[w] x^2 in mean square, dropping it costs
E[w]^2 x^2. With many averaged draws keeping costs less, so this cut is for inference with few draws.

Source: none; it follows from the two costs above.
"""

from __future__ import annotations

from bprune.arrays import Float64Array
from bprune.posterior.posterior import Posterior
from bprune.pruning.criteria.base import Context, Criterion

__all__ = ["MseOptimal"]


class MseOptimal(Criterion):
    """The SNR, with a threshold of 1."""

    name = "mse"
    title = "signal-to-noise ratio, cut for one draw"
    unit = "SNR (linear)"
    own_threshold = 1.0

    def score(self, posterior: Posterior, context: Context) -> Float64Array:
        """The linear SNR."""
        return posterior.snr
