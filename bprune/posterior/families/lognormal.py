"""The LogNormal family: positive weights, exp of a Normal."""

from __future__ import annotations

import numpy as np

from bprune.arrays import Float64Array

__all__ = ["LogNormal"]


class LogNormal:
    """w = exp(z), z ~ N(loc, scale^2). The weight 0 is the limit loc -> -inf; exp(-1e4) is 0 in every float type."""

    name = "LogNormal"
    pruned_loc = -1.0e4

    def mean(self, loc: Float64Array, scale: Float64Array) -> Float64Array:
        """E[w] = exp(loc + scale^2 / 2)."""
        return np.asarray(np.exp(loc + 0.5 * np.square(scale)))

    def stddev(self, loc: Float64Array, scale: Float64Array) -> Float64Array:
        """sqrt(Var[w]) = E[w] sqrt(exp(scale^2) - 1)."""
        return np.asarray(self.mean(loc, scale) * np.sqrt(np.expm1(np.square(scale))))

    def snr(self, loc: Float64Array, scale: Float64Array) -> Float64Array:
        """1 / sqrt(exp(scale^2) - 1): the location cancels."""
        return np.asarray(1.0 / np.sqrt(np.expm1(np.square(scale))))

    def expected_magnitude(self, loc: Float64Array, scale: Float64Array) -> Float64Array:
        """E[w]: no weight is negative."""
        return self.mean(loc, scale)

    def log_wrong_sign(self, loc: Float64Array, scale: Float64Array) -> Float64Array:
        """-inf: no weight is negative."""
        return np.full(np.shape(loc), -np.inf)

    def log_density_at_zero(self, loc: Float64Array, scale: Float64Array) -> Float64Array:
        """-inf."""
        return np.full(np.shape(loc), -np.inf)

    def entropy(self, loc: Float64Array, scale: Float64Array) -> Float64Array:
        """loc + ln(scale) + (ln(2 pi) + 1) / 2."""
        return np.asarray(loc + np.log(scale) + 0.5 * (np.log(2.0 * np.pi) + 1.0))
