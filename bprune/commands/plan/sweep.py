"""`bprune plan sweep`: a sweep as tasks."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from bprune.commands.choices import CaseChoice, CriterionChoice, DataChoice
from bprune.commands.options import case_options, criterion_options, data_options, output_options
from bprune.commands.output import Output
from bprune.commands.plan.planned import PlanChoice, plan_options, source_of
from bprune.commands.sweep import DrawsChoice, GridChoice, draws_options, grid_options, with_activations

__all__ = ["command"]


@click.command("sweep")
@case_options
@grid_options
@criterion_options
@data_options
@draws_options
@click.option("--out", type=click.Path(path_type=Path), help="The sweep, HDF5.  [default: CASE-sweep.h5 here]")
@plan_options
@output_options
def command(
    choice: CaseChoice,
    chosen: GridChoice,
    scored: CriterionChoice,
    data: DataChoice,
    drawn: DrawsChoice,
    out: Path | None,
    planned: PlanChoice,
    tell: Output,
) -> None:
    """Plan a sweep, with the options of `bprune sweep` but those of budgets, whose search goes step by step.

    A task measures a sparsity, several where there are fewer tasks, or a part of one where there are more. Times are
    measured when the tasks are collected, on the machine that does it.

    \b
    Example:
      bprune plan sweep --case-dir sample_checkpoints/digits_conv --tasks 16 -o sweep.json
    """
    with tell.tensorflow():
        from bprune.atomic import check_target
        from bprune.jobs import plan_sweep
        from bprune.judgement.measure import Study, prepare_draws
        from bprune.posterior import read_network

        grid, draws = chosen.grid(scored, None), drawn.draws()
        case = choice.load()
        target = out if out is not None else Path(f"{case.name}-sweep.h5")
        check_target(planned.plan, overwrite=planned.overwrite_plan)
        network = read_network(case)
        grid = with_activations(grid, data, case, network)
        prepared = prepare_draws(case, network, network.masks, draws)
        dataset = data.read(case, prepared.engine)
        for note in dataset.notes:
            tell.assumption(note)
        plan = plan_sweep(
            Study(case, network, dataset, draws),
            prepared,
            grid,
            source_of(data),
            target,
            tasks=planned.tasks,
            command=" ".join(["bprune", *sys.argv[1:]]),
        )
        planned.write(plan, tell)
