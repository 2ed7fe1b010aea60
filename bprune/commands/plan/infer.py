"""`bprune plan infer`: an inference run as tasks."""

from __future__ import annotations

from pathlib import Path

import click

from bprune.commands.choices import CasesChoice, DataChoice, RuleChoice, RunChoice
from bprune.commands.options import cases_options, data_options, output_options, rule_options, run_options
from bprune.commands.output import Output
from bprune.commands.plan.planned import PlanChoice, plan_options, source_of

__all__ = ["command"]


@click.command("infer")
@cases_options
@data_options
@rule_options
@run_options
@click.option("--out", type=click.Path(path_type=Path), help="The results file.  [default: CASE-results.h5 here]")
@plan_options
@output_options
def command(
    choice: CasesChoice,
    data: DataChoice,
    pruning: RuleChoice,
    run: RunChoice,
    out: Path | None,
    planned: PlanChoice,
    tell: Output,
) -> None:
    """Plan MC inference, with the options of `bprune infer`.

    Members of an ensemble are divided between tasks, then examples, and draws where there are few examples.

    \b
    Example:
      bprune plan infer --case-dir sample_checkpoints/digits_conv --tasks 4 -o plan.json
      bprune plan infer --case-dir runs/vgg16 --data cifar.npz --scale 255 --tasks 64 --draws none -o vgg16.json
      bprune plan infer --case-dir runs/member_0 --case-dir runs/member_1 --tasks 8 -o ensemble.json
    """
    with tell.tensorflow():
        from bprune.atomic import check_target
        from bprune.commands.members import choose, prepare, read
        from bprune.jobs import plan_infer
        from bprune.results.record import choose_amount

        cases = choice.load()
        target = out if out is not None else choice.results(cases)
        check_target(target, overwrite=run.overwrite)
        check_target(planned.plan, overwrite=planned.overwrite_plan)
        members, record = prepare(run, choose(cases, pruning, data, tell), tell)
        dataset = read(data, members, tell)
        amount = choose_amount(record, run.stopping(), run.keep_draws, run.batch_size)
        networks = [member.prepared for member in members]
        plan = plan_infer(networks, dataset, source_of(data), amount, record, target, tasks=planned.tasks)
        planned.write(plan, tell)
