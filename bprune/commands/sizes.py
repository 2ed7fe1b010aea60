"""The table of what compaction removed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bprune.commands.output import print_table

if TYPE_CHECKING:
    from bprune.lowering.size import SizeChange, SizeComparison

__all__ = ["print_sizes"]

_COLUMNS = ("layer", "operation", "units", "compacted", "weights", "compacted", "multiply-adds", "compacted")


def print_sizes(sizes: SizeComparison) -> None:
    """Print the layers of a network before and after compaction."""
    rows = [_cells(row) for row in sizes.rows]
    total = ["total", "", "", "", *_cells(sizes.total)[4:]]
    print_table(_COLUMNS, [*rows, [""] * len(_COLUMNS), total], text_columns=2)


def _cells(row: SizeChange) -> list[str]:
    before, after = row.before, row.after
    return [
        row.layer,
        ", ".join(row.operations),
        f"{before.units_in} -> {before.units_out}",
        f"{after.units_in} -> {after.units_out}" if after.weights else "removed",
        f"{before.weights:,}",
        f"{after.weights:,}",
        f"{before.multiply_adds:,}",
        f"{after.multiply_adds:,}",
    ]
