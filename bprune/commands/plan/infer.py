"""`bprune plan infer`: an inference run as tasks."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from bprune.commands.choices import CaseChoice, DataChoice, RuleChoice, RunChoice
from bprune.commands.options import case_options, data_options, output_options, rule_options, run_options
from bprune.commands.output import Output
from bprune.commands.plan.planned import PlanChoice, plan_options, source_of

__all__ = ["command"]


@click.command("infer")
@case_options
@data_options
@rule_options
@run_options
@click.option("--out", type=click.Path(path_type=Path), help="The results file.  [default: CASE-results.h5 here]")
@plan_options
@output_options
def command(
    choice: CaseChoice,
    data: DataChoice,
    pruning: RuleChoice,
    run: RunChoice,
    out: Path | None,
    planned: PlanChoice,
    tell: Output,
) -> None:
    """Plan MC inference, with the options of `bprune infer`.

    Examples are divided between tasks, and draws where there are few examples.

    \b
    Example:
      bprune plan infer --case-dir sample_checkpoints/digits_conv --tasks 4 -o plan.json
      bprune plan infer --case-dir runs/vgg16 --data cifar.npz --scale 255 --tasks 64 --draws none -o vgg16.json
    """
    with tell.tensorflow():
        from bprune.atomic import check_target
        from bprune.jobs import plan_infer
        from bprune.posterior import read_network
        from bprune.results.record import choose_amount, new_run

        rule = pruning.rule() if pruning.is_given else None
        case = choice.load()
        target = out if out is not None else Path(f"{case.name}-results.h5")
        check_target(target, overwrite=run.overwrite)
        check_target(planned.plan, overwrite=planned.overwrite_plan)
        network = read_network(case)
        masks = pruning.plan(rule, case, network, data, tell).masks if rule is not None else network.masks
        prepared = run.prepare(case, network, masks, tell)
        dataset = data.read(case, prepared.engine)
        for note in dataset.notes:
            tell.assumption(note)
        record = new_run(
            case,
            prepared,
            mc_iters=run.most_draws,
            seed=run.seed,
            rule=rule,
            command=" ".join(["bprune", *sys.argv[1:]]),
            antithetic=run.antithetic,
            stopping=run.stopping(),
        )
        amount = choose_amount(
            record, run.stopping(), None if run.draws is None else run.draws == "all", run.batch_size
        )
        plan = plan_infer(prepared, dataset, source_of(data), amount, record, target, tasks=planned.tasks)
        planned.write(plan, tell)
