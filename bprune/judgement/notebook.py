"""How sweeps and comparisons show themselves in a notebook."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bprune.case.task import Task
from bprune.cells import number, percent, with_error
from bprune.html import escaped, facts, panel, shown, table
from bprune.metrics.registry import MAIN_METRICS, METRICS

if TYPE_CHECKING:
    from bprune.judgement.compare import Comparison
    from bprune.judgement.sweep import Sweep

__all__ = ["comparison_html", "sweep_html"]

_FEW = 2
"""So many metrics fit beside each other with their changes."""


@shown
def sweep_html(sweep: Sweep) -> str:
    """A sweep as HTML: a row for every sparsity, with the main metrics and their paired changes."""
    names = [name for name in MAIN_METRICS[Task(sweep.task)] if name in sweep.metric_names][:_FEW]
    columns = ["pruned", "kept", "threshold"]
    rows = [[percent(point.sparsity), f"{point.nonzeros:,}", number(point.threshold)] for point in sweep.points]
    for name in names:
        columns += [METRICS[Task(sweep.task)][name].title, "change"]
        for row, point in zip(rows, sweep.points, strict=True):
            change = point.differences[name]
            whole = point is sweep.points[0]
            row += [number(point.metrics[name].value)]
            row += ["" if whole else with_error(change.value, change.stderr, signed=True)]
    columns.append("us per example and draw")
    for row, point in zip(rows, sweep.points, strict=True):
        row.append(number(point.draw_us))
    content = {
        "criterion": f"{sweep.criterion} ({sweep.unit}), {sweep.scope}",
        "run": f"{sweep.examples} examples, {sweep.mc_iters} draws, seed {sweep.seed}, engine {sweep.engine}",
    }
    notes = [f"<p>{escaped(note)}</p>" for note in sweep.notes]
    if not sweep.finished:
        notes.append("<p>Not finished: the same command goes on.</p>")
    return panel(f"Sweep of {sweep.case}", facts(content), table(columns, rows, text_columns=0), *notes)


@shown
def comparison_html(comparison: Comparison) -> str:
    """A comparison as HTML: the verdict, and how every metric changes."""
    known = METRICS[comparison.task]
    rows = [
        [
            known[name].title,
            number(item.first.value),
            number(item.second.value),
            f"{item.difference.value:+.4g}",
            f"{item.difference.value - item.half_width:+.4g} to {item.difference.value + item.half_width:+.4g}",
        ]
        for name, item in comparison.metrics.items()
    ]
    content = {"from": str(comparison.first), "to": str(comparison.second), "examples": f"{comparison.examples:,}"}
    return panel(
        "Comparison",
        f"<p>{escaped(comparison.verdict)}</p>",
        facts(content),
        table(["metric", "from", "to", "change", "95 % interval of the change"], rows),
    )
