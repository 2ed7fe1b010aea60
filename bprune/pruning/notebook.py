"""How a pruned case shows itself in a notebook."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bprune.cells import percent
from bprune.html import panel, shown, table

if TYPE_CHECKING:
    from bprune.pruning.plan import Pruned

__all__ = ["pruned_html"]


@shown
def pruned_html(pruned: Pruned) -> str:
    """What pruning did as HTML: the table that `bprune prune` prints."""
    rows = [
        [item.name, f"{item.weights:,}", f"{item.nonzeros:,}", percent(item.sparsity)]
        for item in (*pruned.layers, pruned.total)
    ]
    return panel(f"Pruned case {pruned.case_dir}", table(["layer", "weights", "kept", "sparsity"], rows))
