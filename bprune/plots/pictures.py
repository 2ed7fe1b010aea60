"""Inputs of a network that are pictures."""

from __future__ import annotations

import math

import numpy as np

from bprune.arrays import AnyArray

__all__ = ["picture_of"]

_SMALLEST_FLAT = 256


def picture_of(value: AnyArray) -> AnyArray | None:
    """One input as a picture, or None when it is none.

    Args:
        value: `[row, column]`, `[row, column, 1 or 3]`, or flat with a square number of at least 256 values.

    Returns:
        `[row, column]` or `[row, column, 3]`, float64, in [0, 1] for colours.
    """
    pixels = np.asarray(value, np.float64)
    if not np.isfinite(pixels).all():
        return None
    if pixels.ndim == 1 and pixels.size >= _SMALLEST_FLAT and math.isqrt(pixels.size) ** 2 == pixels.size:
        return pixels.reshape(math.isqrt(pixels.size), -1)
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[:, :, 0]
    if pixels.ndim == 2 and min(pixels.shape) >= 4:
        return pixels
    if pixels.ndim == 3 and pixels.shape[2] == 3 and min(pixels.shape[:2]) >= 4:
        low, high = float(pixels.min()), float(pixels.max())
        return np.asarray((pixels - low) / (high - low)) if high > low else np.zeros_like(pixels)
    return None
