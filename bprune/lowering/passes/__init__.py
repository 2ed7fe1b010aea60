"""The passes: each makes a legal program from a legal one, and leaves what it is given as it was."""

from __future__ import annotations

from bprune.lowering.passes.drop_identities import drop_identities
from bprune.lowering.passes.fold_affine import fold_affine
from bprune.lowering.passes.fold_padding import fold_padding
from bprune.lowering.passes.fuse_activations import fuse_activations
from bprune.lowering.passes.mask_weights import mask_weights
from bprune.lowering.passes.remove_dead_units import remove_dead_units
from bprune.lowering.passes.remove_unused import remove_unused

__all__ = [
    "drop_identities",
    "fold_affine",
    "fold_padding",
    "fuse_activations",
    "mask_weights",
    "remove_dead_units",
    "remove_unused",
]
