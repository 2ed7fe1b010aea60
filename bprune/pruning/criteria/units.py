"""Output units: which weights belong to one, and sums over them.

A unit of a dense layer is a column of its kernel, that of a convolution a filter. A sampled bias belongs to the unit
that it is added to.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from bprune.arrays import Float64Array
from bprune.posterior.posterior import Posterior

__all__ = ["unit_sums"]


def unit_sums(
    posterior: Posterior, layer: tuple[Posterior, ...], part: Callable[[Posterior], Float64Array]
) -> Float64Array:
    """The sum of `part` over the kept weights of the unit that a weight belongs to.

    Args:
        posterior: The weights.
        layer: All posteriors of its layer.
        part: What is summed, of a posterior's shape.

    Returns:
        Of the shape of `posterior`; equal for all weights of a unit.
    """
    kernel = _kernel_of(posterior, layer)
    members = [kernel, *(item for item in layer if item is not kernel and _kernel_of(item, layer) is kernel)]
    total = np.zeros(_units(kernel))
    for item in members:
        kept = np.where(item.mask, part(item), 0.0)
        total = total + kept.reshape(-1, _units(item)).sum(0)
    return np.asarray(np.broadcast_to(total, (posterior.size // total.size, total.size)).reshape(posterior.shape))


def _kernel_of(posterior: Posterior, layer: tuple[Posterior, ...]) -> Posterior:
    """The kernel whose output a bias is added to; itself for a kernel, and for a bias where that is not clear."""
    if posterior.part != "bias":
        return posterior
    fits = [item for item in layer if item.part != "bias" and _units(item) == posterior.size]
    return fits[0] if len(fits) == 1 else posterior


def _units(posterior: Posterior) -> int:
    """How many units the weights go to: the last axis; in a depthwise kernel the last two, channel and multiplier."""
    last = posterior.shape[-2:] if "depthwise" in posterior.part else posterior.shape[-1:]
    return int(np.prod(last))
