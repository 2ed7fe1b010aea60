"""What both kinds of plans have in common: their options, and what is told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bprune.commands.choices import DataChoice
from bprune.commands.options import group_options
from bprune.commands.output import Output, print_json

if TYPE_CHECKING:
    from bprune.jobs import DataSource, Plan

__all__ = ["PlanChoice", "plan_options", "source_of"]


@dataclass(frozen=True)
class PlanChoice:
    """Where a plan goes, and how many tasks it has."""

    tasks: int
    plan: Path
    overwrite_plan: bool

    def write(self, plan: Plan, tell: Output) -> None:
        """Write the plan and say how to go on."""
        from bprune.jobs import write_plan

        write_plan(plan, self.plan, overwrite=self.overwrite_plan)
        count = len(plan.tasks)
        if tell.as_json:
            content = {
                "plan": str(self.plan),
                "kind": plan.kind,
                "tasks": count,
                "out": plan.out,
                "digest": plan.digest,
            }
            print_json({"schema": "bprune-planned 1", **content})
        elif not tell.quiet:
            click.echo(f"plan:    {self.plan}")
            click.echo(f"tasks:   {count}, such as: bprune run-task {self.plan} --index {count - 1}")
            click.echo(f"collect: bprune collect {self.plan}, which writes {plan.out}")
            if count < self.tasks:
                tell.notice(f"The work cannot be divided into more than {count} even tasks.")


plan_options: Callable[[Any], Any] = group_options(
    "planned",
    PlanChoice,
    click.option("--tasks", type=click.IntRange(min=1), required=True, metavar="N", help="How many tasks, at most."),
    click.option("-o", "--plan", type=click.Path(path_type=Path), required=True, help="The plan to write."),
    click.option("--overwrite-plan", is_flag=True, help="Replace a plan that is there already."),
)
"""What is planned: the argument `planned`."""


def source_of(data: DataChoice) -> DataSource:
    """Where the examples come from."""
    from bprune.jobs import DataSource

    return DataSource(
        None if data.data is None else str(data.data),
        None if data.labels is None else str(data.labels),
        data.x_key,
        data.y_key,
        data.scale,
        data.examples,
    )
