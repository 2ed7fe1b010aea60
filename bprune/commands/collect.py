"""`bprune collect`: the whole of what the tasks of a plan gave."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from bprune.commands.options import output_options
from bprune.commands.output import Output, metrics_json, print_json

__all__ = ["command"]


@click.command("collect")
@click.argument("plan", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), help="The file to write.  [default: as it was planned]")
@click.option("--overwrite", is_flag=True, help="Replace a file that is there already.")
@output_options
def command(plan: Path, out: Path | None, overwrite: bool, tell: Output) -> None:
    """Put together what the tasks of a plan gave: a results file, or a sweep.

    It is to the last bit what one process would have written, but for the time and the command. Tasks that have not
    ended are listed, as batch systems take them, with exit code 4.

    \b
    Example:
      bprune collect plan.json
      bprune collect plan.json --out results.h5 --overwrite
    """
    with tell.tensorflow():
        from bprune.jobs import collect, read_plan
        from bprune.metrics import MAIN_METRICS
        from bprune.results import Results

        target = out if out is not None else Path(read_plan(plan).out)
        with tell.progress(f"{plan.name}: collecting") as progress:
            found = collect(plan, target, overwrite=overwrite, progress=progress)
        content: dict[str, Any]
        if isinstance(found, Results):
            with found as results:
                content = {
                    "results": str(results.path),
                    "digest": results.digest(),
                    "metrics": metrics_json(results.metrics(MAIN_METRICS[results.task])),
                }
                text = results.describe()
        else:
            content = {"sweep": str(target), "points": len(found.points)}
            text = f"sweep of {found.case}: {target}, {len(found.points)} points; bprune plot sweep {target} draws it"
    if tell.as_json:
        print_json({"schema": "bprune-collected 1", **content})
    elif not tell.quiet:
        click.echo(text)
