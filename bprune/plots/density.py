"""The density of values in [0, 1] by a binned kernel estimate, fast enough for whole test sets."""

from __future__ import annotations

import numpy as np

from bprune.arrays import AnyArray, Float64Array
from bprune.errors import UsageError

__all__ = ["GRID_POINTS", "binned_density"]

GRID_POINTS = 201


def binned_density(values: AnyArray, width: float = 1.0) -> Float64Array:
    """Estimate the densities of several series of values in [0, 1].

    Each value is shared between its two neighbours on a grid (linear binning), and the grid is convolved with a
    Gaussian of the standard deviation h = max(width s n^(-1/5), one grid step), s the sample standard deviation; that
    is Scott's rule for a width of 1. Mass that would leave [0, 1] is reflected at 0 and 1, so that a density at an end
    is not halved.

    Args:
        values: `[draw, series]`, in [0, 1]; NaN where there is no value.
        width: What Scott's width is multiplied with; smaller shows more detail, and more noise.

    Returns:
        `[series, point]`, float64, on `GRID_POINTS` points from 0 to 1; the trapezoidal integral of each row is 1.

    Raises:
        UsageError: If a series has no value, a value lies outside of [0, 1], or the width is not above 0.

    Source: Scott (1992), "Multivariate density estimation", section 6; Silverman (1986), "Density estimation", sections
    2.10 (reflection) and 3.5 (binning).
    """
    values = np.asarray(values, np.float64)
    known = np.isfinite(values)
    if not 0.0 < width < np.inf:
        raise UsageError(f"the width is {width}; it must be a number above 0")
    if not known.any(axis=0).all():
        raise UsageError("a density needs at least one value")
    if np.any(values[known] < 0.0) or np.any(values[known] > 1.0 + 1e-5):
        raise UsageError("a value lies outside of [0, 1]; this density is one of probabilities")
    smooth = _convolve_reflected(_linear_bins(values, known), np.maximum(width * _widths(values, known), _STEP))
    total = (smooth.sum(axis=1) - 0.5 * (smooth[:, 0] + smooth[:, -1])) * _STEP
    return np.asarray(smooth / total[:, None])


_STEP = 1.0 / (GRID_POINTS - 1)


def _linear_bins(values: Float64Array, known: AnyArray) -> Float64Array:
    """The mass at each point of the grid, `[series, point]`."""
    series = values.shape[1]
    place = np.clip(np.where(known, values, 0.0), 0.0, 1.0) / _STEP
    left = np.minimum(place.astype(np.int64), GRID_POINTS - 2)
    right_share = place - left
    index = left + np.arange(series) * GRID_POINTS
    size = series * GRID_POINTS
    mass = np.bincount(index[known], (1.0 - right_share)[known], size)
    mass += np.bincount(index[known] + 1, right_share[known], size)
    return np.asarray(mass.reshape(series, GRID_POINTS))


def _widths(values: Float64Array, known: AnyArray) -> Float64Array:
    """Scott's width of each series, `[series]`."""
    count = known.sum(axis=0)
    mean = np.where(known, values, 0.0).sum(axis=0) / count
    squares = np.where(known, np.square(values - mean), 0.0).sum(axis=0)
    stddev = np.sqrt(squares / np.maximum(count - 1, 1))
    return np.asarray(stddev * count**-0.2)


def _convolve_reflected(mass: Float64Array, widths: Float64Array) -> Float64Array:
    """Convolve on a ring that runs from 0 to 1 and back: mass that passes an end comes back inside."""
    last = GRID_POINTS - 1
    ring = np.concatenate([mass, mass[:, -2:0:-1]], axis=1)
    ring[:, [0, last]] *= 2.0  # an end is its own mirror image
    distance = np.minimum(np.arange(2 * last), 2 * last - np.arange(2 * last)) * _STEP
    scaled = widths[:, None]
    kernel = np.exp(-0.5 * (distance / scaled) ** 2) + np.exp(-0.5 * ((2.0 - distance) / scaled) ** 2)
    smooth = np.fft.irfft(np.fft.rfft(ring) * np.fft.rfft(kernel), 2 * last)[:, :GRID_POINTS]
    return np.asarray(np.maximum(smooth, 0.0))
