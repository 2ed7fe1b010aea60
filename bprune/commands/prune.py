"""`bprune prune`: write a pruned case and say what it costs."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bprune.commands.options import (
    case_options,
    common_options,
    data_options,
    parse_pairs,
    rule_options,
    run_options,
)
from bprune.commands.output import percent, plain_tensorflow, print_json, print_table, tell

if TYPE_CHECKING:
    from bprune.case import Case
    from bprune.commands.setup import DataChoice
    from bprune.inference.statistics import Scores
    from bprune.pruning import Counts, Plan, Pruned

__all__ = ["command"]


@click.command("prune")
@case_options
@rule_options
@click.option("--out", type=click.Path(path_type=Path), help="The pruned case.  [default: CASE-pruned here]")
@data_options
@run_options
@click.option("--no-infer", is_flag=True, help="Write the pruned case alone, without MC inference before and after.")
@common_options
def command(
    case_dir: Path,
    checkpoint: str | None,
    input_op: str | None,
    output_op: str | None,
    task: str | None,
    feed: tuple[str, ...],
    trust_graph: bool,
    threshold: float | None,
    sparsity: float | None,
    layer_threshold: tuple[str, ...],
    allow_empty_layers: bool,
    out: Path | None,
    data: Path | None,
    labels: Path | None,
    x_key: str | None,
    y_key: str | None,
    scale: float | None,
    examples: int | None,
    mc_iters: int,
    seed: int,
    batch_size: int | None,
    draws: str,
    overwrite: bool,
    no_infer: bool,
    as_json: bool,
    quiet: bool,
    verbose: int,
) -> None:
    """Prune weights whose signal-to-noise ratio is low, into a new case.

    The source is never written. When held-out data is known, MC inference runs before and after pruning, and the
    pruned case gets its results.h5.

    \b
    Example:
      bprune prune --case-dir sample_checkpoints/digits_conv --threshold 10
      bprune prune --case-dir runs/mnist --sparsity 0.8 --data mnist.npz --scale 255 --out mnist-80
      bprune prune --case-dir runs/mnist --threshold 2 --layer-threshold den_3=0.5 --no-infer
    """
    if threshold is not None and sparsity is not None:
        raise click.UsageError("--threshold and --sparsity do not go together")
    feeds = parse_pairs("--feed", feed)
    layer_thresholds = parse_pairs("--layer-threshold", layer_threshold)
    with plain_tensorflow(verbose):
        from bprune.case import load_case
        from bprune.commands.setup import DataChoice
        from bprune.posterior import read_network
        from bprune.pruning import DEFAULT_THRESHOLD, Rule, check_target, plan_pruning

        def load(path: Path, name: str | None) -> Case:
            return load_case(
                path,
                checkpoint=name,
                input_op=input_op,
                output_op=output_op,
                task=task,
                feeds=feeds,
                trust_graph=trust_graph,
            )

        if threshold is None and sparsity is None:
            threshold = DEFAULT_THRESHOLD
        rule = Rule(threshold, sparsity, layer_thresholds)
        case = load(case_dir, checkpoint)
        target = out if out is not None else Path(f"{case.name}-pruned")
        judge = not no_infer and (data is not None or case.files.heldout is not None)
        choice = DataChoice(data, labels, x_key, y_key, scale, examples)
        plan = plan_pruning(case, read_network(case), rule, allow_empty_layers=allow_empty_layers)
        check_target(case, target, overwrite=overwrite)
        before = _score(plan, choice, mc_iters, seed, batch_size, quiet) if judge else None
        pruned = plan.write(target, overwrite=overwrite)
        after = None
        if judge:
            after = _record(load(target, None), choice, mc_iters, seed, batch_size, draws == "all", quiet)
    if as_json:
        print_json(_content(pruned, before, after, judge))
    elif not quiet:
        _print(pruned, before, after, judge)
        if not judge and not no_infer:
            tell("No held-out data is known, so accuracy was not compared; pass --data FILE.")


def _score(
    plan: Plan, choice: DataChoice, mc_iters: int, seed: int, batch_size: int | None, quiet: bool
) -> Scores | None:
    from bprune.commands.setup import prepare_engine
    from bprune.inference.progress import show_progress
    from bprune.inference.run import choose_blocks
    from bprune.inference.score import score_draws

    case, network = plan.case, plan.network
    engine, dataset = prepare_engine(case, network, network.masks, seed, choice)
    if dataset.labels is None:
        return None
    blocks = choose_blocks(engine, len(dataset), mc_iters, batch_size)
    with show_progress(f"{case.name}: {mc_iters} draws", quiet=quiet) as progress:
        return score_draws(
            engine,
            dataset.inputs,
            dataset.labels,
            case.task,
            mc_iters=mc_iters,
            blocks=blocks,
            progress=progress,
        )


def _record(
    case: Case, choice: DataChoice, mc_iters: int, seed: int, batch_size: int | None, keep_draws: bool, quiet: bool
) -> Scores | None:
    from bprune.commands.setup import prepare_engine
    from bprune.inference.progress import show_progress
    from bprune.posterior import read_network
    from bprune.results.record import new_run, record_draws

    network = read_network(case)
    engine, dataset = prepare_engine(case, network, network.masks, seed, choice)
    run = new_run(case, engine, mc_iters=mc_iters, seed=seed, rule=None, command=" ".join(["bprune", *sys.argv[1:]]))
    with show_progress(f"{case.name}: {mc_iters} draws", quiet=quiet) as progress:
        results = record_draws(
            case,
            network,
            network.masks,
            engine,
            dataset,
            case.files.root / "results.h5",
            run,
            keep_draws=keep_draws,
            batch_size=batch_size,
            progress=progress,
        )
    with results:
        return results.scores()


def _content(pruned: Pruned, before: Scores | None, after: Scores | None, judged: bool) -> dict[str, Any]:
    def counts(item: Any) -> dict[str, Any]:
        return {**asdict(item), "sparsity": item.sparsity, "nonzero_parameters": item.nonzero_parameters}

    return {
        "schema": "bprune-prune 1",
        "pruned_case": str(pruned.case_dir),
        "criterion": pruned.rule.criterion.name,
        "threshold": pruned.rule.threshold,
        "sparsity_target": pruned.rule.sparsity,
        "layer_thresholds": pruned.rule.layer_thresholds,
        "layers": [counts(item) for item in pruned.layers],
        "total": counts(pruned.total),
        "before": asdict(before) if before else None,
        "after": asdict(after) if after else None,
        "results": str(pruned.case_dir / "results.h5") if judged else None,
    }


def _print(pruned: Pruned, before: Scores | None, after: Scores | None, judged: bool) -> None:
    columns = ["layer", "weights", "kept", "sparsity"]
    print_table(columns, [*map(_count_cells, pruned.layers), [""] * 4, _count_cells(pruned.total)])
    if before is not None and after is not None:
        names = [name for name in ("accuracy", "rmse", "nll") if getattr(before, name) is not None]
        rows = [
            [label, *(_cell(item, name) for name in names)] for label, item in (("before", before), ("after", after))
        ]
        print_table(["", *names], rows)
    click.echo(f"pruned case: {pruned.case_dir}")
    if judged:
        click.echo(f"results:     {pruned.case_dir / 'results.h5'}")


def _count_cells(item: Counts) -> list[str]:
    return [item.name, f"{item.weights:,}", f"{item.nonzeros:,}", percent(item.sparsity)]


def _cell(scores: Scores, name: str) -> str:
    return f"{getattr(scores, name):.4f} +- {getattr(scores, f'{name}_stderr'):.4f}"
