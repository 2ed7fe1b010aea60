"""`bprune run-task`: one task of a plan."""

from __future__ import annotations

from pathlib import Path

import click

from bprune.commands.options import output_options
from bprune.commands.output import Output, print_json

__all__ = ["command"]


@click.command("run-task")
@click.argument("plan", type=click.Path(path_type=Path))
@click.option("--index", type=click.IntRange(min=0), required=True, metavar="I", help="Which task, from 0.")
@output_options
def command(plan: Path, index: int, tell: Output) -> None:
    """Run one task of a plan of `bprune plan`; its files go into the folder PLAN.tasks beside the plan.

    What the task has done already is not done again. A task that was killed leaves nothing half-written, and one that
    runs twice, even at the same time, writes the same.

    \b
    Example:
      bprune run-task plan.json --index 3
      bprune run-task plan.json --index $SLURM_ARRAY_TASK_ID
    """
    with tell.tensorflow():
        from bprune.jobs import run_task

        with tell.progress(f"{plan.name}: task {index}") as progress:
            done = run_task(plan, index, progress=progress)
    if tell.as_json:
        content = {"plan": str(plan), "index": index, "tasks": done.tasks, "was_there": done.was_there}
        print_json({"schema": "bprune-task 1", **content, "files": [str(path) for path in done.files]})
    elif not tell.quiet:
        state = "was there already" if done.was_there == len(done.files) else "is done"
        click.echo(f"task {index} of {done.tasks} {state}: {done.files[0].parent}")
