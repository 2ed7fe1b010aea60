"""Posteriors with known numbers, for the scores of criteria."""

from __future__ import annotations

import numpy as np

from bprune.arrays import AnyArray, BoolArray
from bprune.posterior import Network, Posterior
from bprune.posterior.families import FAMILIES
from bprune.posterior.posterior import Stored
from bprune.posterior.transform import ScaleTransform

__all__ = ["LOC", "SCALE", "layer_of", "posterior"]

LOC = np.array([[-0.7, 0.0, 0.031, 2.0], [0.4, -0.02, 1.1, -3.0], [0.25, 0.6, -0.9, 0.001]])
"""Means of `[in, out]`: both signs, a zero, large and small."""
SCALE = np.array([[0.3, 0.9, 0.02, 0.7], [0.05, 0.4, 0.6, 0.25], [0.1, 0.75, 0.5, 0.01]])
"""Scales below 1, all different."""


def posterior(
    loc: AnyArray = LOC,
    scale: AnyArray = SCALE,
    *,
    family: str = "Normal",
    part: str = "kernel",
    layer: str = "first",
    mask: BoolArray | None = None,
) -> Posterior:
    """The posterior of one tensor; what the mask prunes has the location and scale of a pruned weight."""
    kept = np.ones(loc.shape, np.bool_) if mask is None else mask
    stored = Stored(f"{layer}/{part}", 0, loc.size)
    return Posterior(
        layer=layer,
        part=part,
        kind="DenseReparameterization",
        family=FAMILIES[family],
        loc=np.where(kept, loc, FAMILIES[family].pruned_loc),
        scale=np.where(kept, scale, 0.0),
        mask=kept,
        stored_loc=stored,
        stored_scale=stored,
        transform=ScaleTransform(0.0),
        sites=(),
    )


def layer_of(*posteriors: Posterior) -> Network:
    """A network of these tensors."""
    return Network(posteriors)
