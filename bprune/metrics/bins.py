"""Bins of probabilities."""

from __future__ import annotations

import numpy as np

from bprune.arrays import AnyArray, IntArray

__all__ = ["BINS", "equal_mass_bins", "equal_width_bins"]

BINS = 15


def equal_width_bins(values: AnyArray, bins: int = BINS) -> IntArray:
    """The bin of each value: `[lo, hi)` with float32 edges, and one more bin for exactly 1, as torchmetrics has them.

    Args:
        values: Numbers in [0, 1], of any shape.
        bins: Number of bins of equal width.

    Returns:
        Numbers in 0 ... bins, of the same shape.
    """
    step = np.float32(1.0 / bins)
    number = np.arange(bins + 1)
    # torch.linspace counts from both ends, so that the edges are symmetric in float32
    edges = np.where(number < (bins + 1) // 2, step * number.astype(np.float32), 1 - step * (bins - number)).astype(
        "f4"
    )
    return np.asarray(np.searchsorted(edges, values.astype(np.float32), side="right") - 1, np.int64)


def equal_mass_bins(values: AnyArray, bins: int = BINS) -> IntArray:
    """The bin of each value where bins hold the same number of values, up to one; equal values share a bin.

    Args:
        values: `[example]`.
        bins: Number of bins; the first that has a value of a group of equal ones takes all of them.

    Returns:
        `[example]`, in 0 ... bins - 1.
    """
    order = np.sort(values)
    first = np.searchsorted(order, values, side="left")
    return np.asarray(first * bins // len(values), np.int64)
