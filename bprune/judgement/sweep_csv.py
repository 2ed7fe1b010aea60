"""A sweep as a table: a row for every point, a column for every number."""

from __future__ import annotations

import csv
import io
import math
from pathlib import Path
from typing import Any

from bprune.atomic import write_text
from bprune.judgement.sweep import NOT_LOWERED, Sweep, SweepPoint

__all__ = ["sweep_table", "write_sweep_csv"]

_COUNTS = ("sparsity", "threshold", "nonzeros", "weights", "multiply_adds", "draw_us")
_PARTS = ("value", "data_stderr", "mc_stderr")


def write_sweep_csv(sweep: Sweep, path: Path | str, *, overwrite: bool = False) -> None:
    """Write a sweep as CSV: a header, then a row for every point; what is not known is empty.

    Args:
        sweep: The sweep.
        path: The file to write.
        overwrite: Whether an existing file is replaced.

    Raises:
        OutputError: If the file exists and may not be replaced, or cannot be written.
    """
    text = io.StringIO()
    rows = sweep_table(sweep)
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows([{name: _cell(value) for name, value in row.items()} for row in rows])
    write_text(Path(path), text.getvalue(), overwrite=overwrite)


def sweep_table(sweep: Sweep) -> list[dict[str, Any]]:
    """A row for every point: counts, `<metric>`, its standard errors, `<metric>_difference`, `<layer>_sparsity`."""
    return [_row(point, sweep) for point in sweep.points]


def _row(point: SweepPoint, sweep: Sweep) -> dict[str, Any]:
    row: dict[str, Any] = {name: getattr(point, name) for name in _COUNTS}
    row["multiply_adds"] = None if point.multiply_adds == NOT_LOWERED else point.multiply_adds
    for suffix, estimates in (("", point.metrics), ("_difference", point.differences)):
        for metric in sweep.metric_names:
            for part in _PARTS:
                name = f"{metric}{suffix}" + ("" if part == "value" else f"_{part}")
                row[name] = getattr(estimates[metric], part)
    return row | {f"{layer}_sparsity": point.layer_sparsity[layer] for layer in sweep.layers}


def _cell(value: Any) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return repr(value) if isinstance(value, float) else str(value)
