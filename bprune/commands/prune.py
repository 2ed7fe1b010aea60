"""`bprune prune`: write a pruned case and say what it costs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bprune.cells import with_error
from bprune.commands.choices import BudgetChoice, CaseChoice, DataChoice, RuleChoice, RunChoice
from bprune.commands.found import search_line
from bprune.commands.options import (
    budget_options,
    case_options,
    data_options,
    output_options,
    rule_options,
    run_options,
)
from bprune.commands.output import Output, metrics_json, percent, print_json, print_table
from bprune.commands.sizes import print_sizes
from bprune.commands.within import plan_within

if TYPE_CHECKING:
    from bprune.engines.compact import Compacted
    from bprune.metrics import Estimate
    from bprune.pruning import Counts, Plan, Pruned

__all__ = ["command"]

_RESULTS = "results.h5"


@dataclass(frozen=True)
class _Judged:
    """How well a network does.

    Attributes:
        metrics: Its main metrics, by name.
        draws: Draws per example, on average.
    """

    metrics: Mapping[str, Estimate]
    draws: float


@click.command("prune")
@case_options
@rule_options
@budget_options
@click.option("--out", type=click.Path(path_type=Path), help="The pruned case.  [default: CASE-pruned here]")
@data_options
@run_options
@click.option("--compact", is_flag=True, help="Write the compacted network too, as the case OUT-compact.")
@click.option("--no-infer", is_flag=True, help="Write the pruned case alone, without MC inference before and after.")
@output_options
def command(
    choice: CaseChoice,
    pruning: RuleChoice,
    allowance: BudgetChoice,
    out: Path | None,
    data: DataChoice,
    run: RunChoice,
    compact: bool,
    no_infer: bool,
    tell: Output,
) -> None:
    """Prune weights that carry little signal, into a new case.

    Weights are scored by a criterion, the signal-to-noise ratio unless --criterion names another, and those below the
    threshold go. bmr, inclusion and mse have thresholds of their own; others but snr need --threshold or --sparsity.

    With a budget, such as --max-accuracy-drop 0.005, the largest sparsity is searched that keeps it on held-out data,
    with 100 draws unless --mc-iters says otherwise; pruning.json tells what was looked at. Exit code 3 if none does.

    The source is never written. When held-out data is known, MC inference runs before and after pruning, and the
    pruned case gets its results.h5. With --compact a second case holds the network without the units that no longer do
    anything: smaller tensors, the same law, and it loads wherever a case does.

    \b
    Example:
      bprune prune --case-dir sample_checkpoints/digits_conv --threshold 10
      bprune prune --case-dir runs/mnist --sparsity 0.8 --data mnist.npz --scale 255 --out mnist-80
      bprune prune --case-dir runs/mnist --threshold 2 --layer-threshold den_3=0.5 --no-infer
      bprune prune --case-dir sample_checkpoints/digits_conv --sparsity 0.8 --compact
      bprune prune --case-dir sample_checkpoints/digits_conv --criterion bmr
      bprune prune --case-dir sample_checkpoints/digits_conv --max-accuracy-drop 0.02
    """
    if pruning.threshold is not None and pruning.sparsity is not None:
        raise click.UsageError("--threshold and --sparsity do not go together")
    with tell.tensorflow():
        from bprune.posterior import read_network
        from bprune.pruning import check_target

        budget = allowance.budget()
        if budget is None:
            pruning.rule()  # what is wrong with it is told before anything is loaded
        case = choice.load()
        target = out if out is not None else Path(f"{case.name}-pruned")
        smaller = target.with_name(f"{target.name}-compact")
        judged = not no_infer and (data.data is not None or case.files.heldout is not None)
        check_target(case, target, overwrite=run.overwrite)
        network = read_network(case)
        if budget is None:
            plan = pruning.plan(pruning.rule(), case, network, data, tell)
        else:
            plan = plan_within(budget, pruning, case, network, data, run, tell)
        compacted = _compacted(plan, smaller, run) if compact else None
        before = _judge(plan, data, run, tell) if judged else None
        pruned = plan.write(target, overwrite=run.overwrite)
        if compacted is not None:
            compacted.write(smaller, plan.rule, search=plan.search, overwrite=run.overwrite)
        after = _record(choice, target, data, run, tell) if judged else None
    if tell.as_json:
        content = _content(pruned, before, after, judged) | {"search": plan.search}
        if compacted is not None:
            content["compact"] = {"case": str(smaller), **asdict(compacted.sizes)}
        print_json(content)
    elif not tell.quiet:
        _print(pruned, before, after, judged)
        if plan.search is not None:
            click.echo(search_line(plan.search))
        if compacted is not None:
            print_sizes(compacted.sizes)
            click.echo(f"compact case: {smaller}")
        if not judged and not no_infer:
            tell.notice("No held-out data is known, so accuracy was not compared; pass --data FILE.")


def _compacted(plan: Plan, target: Path, run: RunChoice) -> Compacted:
    """The compacted network, before anything is written."""
    from bprune.engines.compact import compact_network
    from bprune.pruning import check_target

    check_target(plan.case, target, overwrite=run.overwrite)
    return compact_network(plan.case, plan.network, plan.masks)


def _judge(plan: Plan, data: DataChoice, run: RunChoice, tell: Output) -> _Judged | None:
    """The metrics of the source; None where no labels are known."""
    from bprune.inference import Amount, predict
    from bprune.metrics import MAIN_METRICS, evaluate

    case, network = plan.case, plan.network
    prepared = run.prepare(case, network, network.masks, tell)
    dataset = data.read(case, prepared.engine)
    if dataset.labels is None:
        return None
    amount = Amount(run.most_draws, run.stopping(), run.antithetic, run.batch_size)
    with tell.progress(f"{case.name}: {run.told_draws}") as progress:
        predictions = predict(prepared, dataset.inputs, dataset.labels, amount, progress=progress)
    counts = predictions.block_draws
    draws = float(run.most_draws) if counts is None else float(counts.sum(axis=0).mean())
    return _Judged(evaluate(predictions, dataset.labels, names=MAIN_METRICS[case.task]), draws)


def _record(choice: CaseChoice, target: Path, data: DataChoice, run: RunChoice, tell: Output) -> _Judged | None:
    """The metrics of the pruned case, as it was written, with its results file; None where no labels are known."""
    from bprune.commands.members import Chosen, record
    from bprune.metrics import MAIN_METRICS
    from bprune.posterior import read_network

    case = choice.load_pruned(target)
    network = read_network(case)
    with record(run, [Chosen(case, network, network.masks)], data, target / _RESULTS, tell) as results:
        if results.labels is None:
            return None
        return _Judged(results.metrics(MAIN_METRICS[case.task]), float(results.draws_made.mean()))


def _content(pruned: Pruned, before: _Judged | None, after: _Judged | None, judged: bool) -> dict[str, Any]:
    def counts(item: Counts) -> dict[str, Any]:
        return {**asdict(item), "sparsity": item.sparsity, "nonzero_parameters": item.nonzero_parameters}

    return {
        "schema": "bprune-prune 2",
        "pruned_case": str(pruned.case_dir),
        "criterion": pruned.rule.criterion.name,
        "scope": pruned.rule.scope.value,
        "threshold": pruned.rule.threshold,
        "sparsity_target": pruned.rule.sparsity,
        "layer_thresholds": pruned.rule.layer_thresholds,
        "parameters": pruned.rule.parameters(),
        "layers": [counts(item) for item in pruned.layers],
        "total": counts(pruned.total),
        "before": metrics_json(before.metrics) if before else None,
        "after": metrics_json(after.metrics) if after else None,
        "mean_draws": {"before": before and before.draws, "after": after and after.draws},
        "results": str(pruned.case_dir / _RESULTS) if judged else None,
    }


def _print(pruned: Pruned, before: _Judged | None, after: _Judged | None, judged: bool) -> None:
    columns = ["layer", "weights", "kept", "sparsity"]
    print_table(columns, [*map(_count_cells, pruned.layers), [""] * 4, _count_cells(pruned.total)])
    if before is not None and after is not None:
        both = {"before": before, "after": after}
        rows = [[name, *(_cell(item.metrics[name]) for item in both.values())] for name in before.metrics]
        rows.append(["draws", *(f"{item.draws:,.4g}" for item in both.values())])
        print_table(["metric", *both], rows)
    click.echo(f"pruned case: {pruned.case_dir}")
    if judged:
        click.echo(f"results:     {pruned.case_dir / _RESULTS}")


def _count_cells(item: Counts) -> list[str]:
    return [item.name, f"{item.weights:,}", f"{item.nonzeros:,}", percent(item.sparsity)]


def _cell(metric: Estimate) -> str:
    return with_error(metric.value, metric.stderr)
