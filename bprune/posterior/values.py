"""The values of variables after pruning: what a checkpoint stores for the weights that are gone."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from bprune.arrays import AnyArray, BoolArray
from bprune.posterior.posterior import Network, Stored

__all__ = ["pruned_values"]


def pruned_values(
    network: Network, masks: Mapping[str, BoolArray], values: Mapping[str, AnyArray]
) -> dict[str, AnyArray]:
    """Store location and scale of pruned weights as the limit that samples exactly 0.

    Args:
        network: The posteriors.
        masks: True where a weight is kept, by posterior name.
        values: The variables' values; not changed.

    Returns:
        New values of the variables that change, by name.
    """
    changed: dict[str, AnyArray] = {}

    def store(place: Stored, pruned: BoolArray, value: float) -> None:
        if place.variable not in changed:
            changed[place.variable] = np.array(values[place.variable])
        flat = changed[place.variable].reshape(-1)
        flat[place.start : place.stop][pruned] = value

    for posterior in network.posteriors:
        pruned = ~masks[posterior.name].reshape(-1)
        if pruned.any():
            store(posterior.stored_loc, pruned, posterior.family.pruned_loc)
            if posterior.stored_scale.variable in values:
                store(posterior.stored_scale, pruned, posterior.transform.pruned)
    return changed
