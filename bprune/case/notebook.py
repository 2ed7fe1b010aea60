"""How a case shows itself in a notebook: from what is in memory, without reading a weight."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from bprune.html import facts, panel, shown, table

if TYPE_CHECKING:
    from bprune.case.case import Case

__all__ = ["case_html"]


@shown
def case_html(case: Case) -> str:
    """A case as HTML: what it is, and its layers with their variables."""
    files, roles, graph = case.files, case.roles, case.graph
    sizes = "x".join("?" if size is None else str(size) for size in graph.input_shape[1:]) if graph.input_shape else "?"
    content = {
        "folder": str(files.root),
        "checkpoint": f"{files.iteration.name}, of {len(files.iterations)}",
        "task": case.task.value,
        "input": f"{roles.input} ({sizes} {graph.input_dtype})",
        "output": f"{roles.output} ({roles.kind.value})",
        "held-out data": "heldout.npz" if files.heldout is not None else "none",
        "pruned": "yes, see pruning.json" if files.pruning is not None else "not recorded",
    }
    rows = []
    for layer in case.layer_names.layers:
        shapes = [case.checkpoint.entries[name].shape for name in layer.variables]
        rows.append(
            [
                layer.name,
                layer.kind,
                layer.family or "",
                "; ".join("x".join(map(str, shape)) or "scalar" for shape in shapes),
                f"{sum(math.prod(shape) for shape in shapes):,}",
            ]
        )
    columns = ["layer", "kind", "family", "shapes of its variables", "numbers"]
    note = "<p>bprune.posterior.read_network(case) reads the weights and shows their signal-to-noise ratios.</p>"
    return panel(f"Case {case.name}", facts(content), table(columns, rows, text_columns=4), note)
