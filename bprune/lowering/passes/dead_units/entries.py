"""What is to be known of a kernel's entries: which are not 0, and which differ between draws."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bprune.arrays import BoolArray, Float64Array
from bprune.lowering.ops import Conv, Dense, DepthwiseConv
from bprune.lowering.program import Program
from bprune.lowering.weights import Weights

__all__ = ["Entries", "entries_of", "fixed_values", "is_random"]


@dataclass(frozen=True, eq=False)
class Entries:
    """A kernel between units, whatever its window.

    Attributes:
        live: Whether a weight from one unit to the other is not exactly 0 in every draw, `[in + k, out]`; of a
            depthwise convolution `[in, multiplier]`.
        random: Whether such a weight differs between draws, of the same shape.
    """

    live: BoolArray
    random: BoolArray


def entries_of(program: Program) -> dict[str, Entries]:
    """The entries of every kernel, by the name of its operation."""
    return {op.name: _summary(op.kernel) for op in program.ops if isinstance(op, (Dense, Conv, DepthwiseConv))}


def _summary(kernel: Weights) -> Entries:
    window = tuple(range(len(kernel.shape) - 2))
    live = np.asarray(kernel.live.any(axis=window))
    if kernel.scale is None:
        return Entries(live, np.zeros_like(live))
    return Entries(live, np.asarray(is_random(kernel).any(axis=window)))


def is_random(weights: Weights) -> BoolArray:
    """Where a weight differs between draws, of the tensor's shape."""
    if weights.scale is None:
        return np.zeros(weights.shape, np.bool_)
    return np.asarray(weights.live & (weights.scale != 0.0))


def fixed_values(weights: Weights) -> Float64Array:
    """The weights that are the same in every draw, of the tensor's shape, float64; 0 where they differ."""
    loc = weights.loc.astype(np.float64)
    values = np.where(weights.live, np.exp(loc), 0.0) if weights.family == "LogNormal" else loc
    return np.where(is_random(weights), 0.0, values)
