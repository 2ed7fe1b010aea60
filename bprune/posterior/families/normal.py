"""The Normal family: the posterior of TFP's layers unless told otherwise."""

from __future__ import annotations

import numpy as np
from scipy import special

from bprune.arrays import Float64Array

__all__ = ["Normal"]

_SQRT_2 = float(np.sqrt(2.0))
_LOG_2_PI = float(np.log(2.0 * np.pi))


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

    def expected_magnitude(self, loc: Float64Array, scale: Float64Array) -> Float64Array:
        """scale sqrt(2 / pi) exp(-r^2 / 2) + loc erf(r / sqrt(2)) with r = loc / scale, the mean of a folded normal."""
        ratio = loc / (_SQRT_2 * scale)
        return np.asarray(scale * (_SQRT_2 / np.sqrt(np.pi)) * np.exp(-np.square(ratio)) + loc * special.erf(ratio))

    def log_wrong_sign(self, loc: Float64Array, scale: Float64Array) -> Float64Array:
        """ln Phi(-|loc| / scale)."""
        return np.asarray(special.log_ndtr(-np.abs(loc) / scale))

    def log_density_at_zero(self, loc: Float64Array, scale: Float64Array) -> Float64Array:
        """-(loc / scale)^2 / 2 - ln(scale) - ln(2 pi) / 2."""
        return np.asarray(-0.5 * np.square(loc / scale) - np.log(scale) - 0.5 * _LOG_2_PI)

    def entropy(self, loc: Float64Array, scale: Float64Array) -> Float64Array:
        """ln(scale) + (ln(2 pi) + 1) / 2."""
        return np.asarray(np.log(scale) + 0.5 * (_LOG_2_PI + 1.0))
