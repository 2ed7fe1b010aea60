"""Weights multiplied and shifted by known numbers, in float64, where the result is of the same family."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from bprune.arrays import AnyArray, Float64Array, FloatArray
from bprune.lowering.weights import Weights

__all__ = ["per_unit", "scaled", "shifted", "single"]


def per_unit(values: AnyArray | None, shape: Sequence[int], default: float) -> Float64Array | None:
    """Numbers that are broadcast to a shape, as one number per unit.

    Args:
        values: The numbers; None for `default` everywhere.
        shape: The shape, with at least one axis.
        default: What None stands for.

    Returns:
        `[unit]`, float64; None if the numbers differ within a unit.
    """
    if values is None:
        return np.full(shape[-1], default)
    full = np.broadcast_to(values, tuple(shape))
    first = full[(0,) * (len(shape) - 1)]
    return first.astype(np.float64) if np.array_equal(full, np.broadcast_to(first, full.shape)) else None


def scaled(weights: Weights, factors: Float64Array) -> Weights | None:
    """The weights times factors, which are broadcast to their shape.

    Returns:
        Weights of the same family and with the same noise; None if there are none: a LogNormal times a factor other
        than 1, or numbers that float32 cannot hold.
    """
    if np.all(factors == 1.0):
        return weights
    if weights.family == "LogNormal":
        return None
    loc = single(weights.loc * factors)
    scale = None if weights.scale is None else single(weights.scale * factors)
    if loc is None or (scale is None and weights.is_sampled):
        return None
    return replace(weights, loc=loc, scale=scale)


def shifted(bias: Weights | None, shift: Float64Array) -> Weights | None:
    """A fixed bias, or None for none, with a shift added: `[unit]`.

    A sampled bias takes no shift, although `loc` could hold it: a bias that is pruned later is 0, and the shift is not.

    Returns:
        A fixed bias; None if the bias is sampled, or float32 cannot hold the sum.
    """
    if bias is not None and bias.is_sampled:
        return None
    loc = single(shift if bias is None else bias.loc + shift)
    return None if loc is None else Weights(loc)


def single(values: AnyArray) -> FloatArray | None:
    """The numbers in float32; None if one is not finite there."""
    with np.errstate(over="ignore"):
        rounded = values.astype(np.float32)
    return rounded if np.isfinite(rounded).all() else None
