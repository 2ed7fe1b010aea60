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

    def expected_magnitude(self, loc: Float64Array, scale: Float64Array) -> Float64Array:
        """|loc| + scale exp(-|loc| / scale)."""
        magnitude = np.abs(loc)
        return np.asarray(magnitude + scale * np.exp(-magnitude / scale))

    def log_wrong_sign(self, loc: Float64Array, scale: Float64Array) -> Float64Array:
        """-ln 2 - |loc| / scale."""
        return np.asarray(-np.log(2.0) - np.abs(loc) / scale)

    def log_density_at_zero(self, loc: Float64Array, scale: Float64Array) -> Float64Array:
        """-|loc| / scale - ln(2 scale)."""
        return np.asarray(-np.abs(loc) / scale - np.log(2.0 * scale))

    def entropy(self, loc: Float64Array, scale: Float64Array) -> Float64Array:
        """1 + ln(2 scale)."""
        return np.asarray(1.0 + np.log(2.0 * scale))
