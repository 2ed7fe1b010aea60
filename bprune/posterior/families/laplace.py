"""The Laplace family: heavier tails than the Normal, the same location and scale parameters."""

from __future__ import annotations

import numpy as np

from bprune.arrays import Float64Array

__all__ = ["Laplace"]

_SQRT_2 = float(np.sqrt(2.0))


class Laplace:
    """w ~ Laplace(loc, scale), with density exp(-|w - loc| / scale) / (2 scale)."""

    name = "Laplace"
    pruned_loc = 0.0

    def mean(self, loc: Float64Array, scale: Float64Array) -> Float64Array:
        """E[w] = loc."""
        return loc

    def stddev(self, loc: Float64Array, scale: Float64Array) -> Float64Array:
        """The variance is 2 scale^2."""
        return np.asarray(_SQRT_2 * scale)

    def snr(self, loc: Float64Array, scale: Float64Array) -> Float64Array:
        """|loc| / (sqrt(2) scale)."""
        return np.asarray(np.abs(loc) / (_SQRT_2 * scale))
