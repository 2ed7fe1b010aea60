"""The entropy of probabilities."""

from __future__ import annotations

import numpy as np

from bprune.arrays import AnyArray, Float64Array

__all__ = ["entropy"]


def entropy(probabilities: AnyArray) -> Float64Array:
    """-sum_c p_c ln p_c on the last axis, in nats; 0 ln 0 = 0.

    Args:
        probabilities: `[..., class]`.

    Returns:
        `[...]`, float64.
    """
    p = probabilities.astype(np.float64)
    logarithm = np.maximum(p, np.finfo(np.float64).tiny)
    np.log(logarithm, out=logarithm)  # few temporary arrays: this is computed for every draw
    total = np.einsum("...c,...c->...", p, logarithm)
    return np.asarray(0.0 - total)  # and no -0.0
