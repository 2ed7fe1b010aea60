"""The Normal family: the posterior of TFP's layers unless told otherwise."""

from __future__ import annotations

import numpy as np

from bprune.arrays import Float64Array

__all__ = ["Normal"]


class Normal:
    """w ~ N(loc, scale^2)."""

    name = "Normal"
    pruned_loc = 0.0

    def mean(self, loc: Float64Array, scale: Float64Array) -> Float64Array:
        """E[w] = loc."""
        return loc

    def stddev(self, loc: Float64Array, scale: Float64Array) -> Float64Array:
        """The standard deviation is `scale`."""
        return scale

    def snr(self, loc: Float64Array, scale: Float64Array) -> Float64Array:
        """|loc| / scale."""
        return np.asarray(np.abs(loc) / scale)
