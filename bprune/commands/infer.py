"""`bprune infer`: MC inference into a results file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bprune.commands.choices import CasesChoice, DataChoice, RuleChoice, RunChoice
from bprune.commands.options import cases_options, data_options, output_options, rule_options, run_options
from bprune.commands.output import Output, members_json, metrics_json, number, print_json
from bprune.commands.working import WorkersChoice, worker_options

if TYPE_CHECKING:
    from bprune.case import Case
    from bprune.metrics import Estimate
    from bprune.results import Results

__all__ = ["command"]


@click.command("infer")
@cases_options
@data_options
@rule_options
@run_options
@worker_options
@click.option("--out", type=click.Path(path_type=Path), help="The results file.  [default: CASE-results.h5 here]")
@click.option(
    "--ood-data",
    type=click.Path(path_type=Path),
    help="Inputs of another kind (out of distribution): how well does uncertainty tell them apart? Their results go "
    "to OUT-ood.h5.",
)
@output_options
def command(
    choice: CasesChoice,
    data: DataChoice,
    pruning: RuleChoice,
    run: RunChoice,
    working: WorkersChoice,
    out: Path | None,
    ood_data: Path | None,
    tell: Output,
) -> None:
    """Run MC inference: draw the weights many times and average the predictions.

    With several --case-dir the networks are an ensemble: its prediction is the mean over members and draws, and its
    uncertainty is split into what members doubt and what they disagree about. All options hold for every member; so
    does the number of draws.

    With --threshold, --sparsity or --criterion weights are pruned on the fly, as `bprune prune` would, and no case is
    written.

    The results file is HDF5; xarray, netCDF4 and ArviZ open it.

    \b
    Example:
      bprune infer --case-dir sample_checkpoints/digits_conv
      bprune infer --case-dir runs/mnist --data mnist.npz --scale 255 --mc-iters 400 --draws none
      bprune infer --case-dir runs/mnist --data mnist.npz --scale 255 --mc-iters auto --max-mc-iters 2000
      bprune infer --case-dir runs/mnist --data mnist.npz --scale 255 --ood-data letters.npz
      bprune infer --case-dir runs/member_0 --case-dir runs/member_1 --out ensemble.h5
      mpiexec -n 9 bprune infer --case-dir runs/mnist --data mnist.npz --scale 255 --mpi
    """
    with working.open() as workers, tell.tensorflow():
        from bprune.commands.members import choose, record

        cases = choice.load()
        networks = choose(cases, pruning, data, tell)
        target = out if out is not None else choice.results(cases)
        ood_target = target.with_name(f"{target.stem}-ood{target.suffix}")
        if ood_data is not None:
            _check_ood(cases[0], ood_target, overwrite=run.overwrite)
        with record(run, networks, data, target, tell, workers) as results:
            text, content = results.describe(), _content(results)
            if ood_data is not None:
                with record(run, networks, data.other(ood_data), ood_target, tell, workers) as found:
                    aurocs = results.metrics((), ood=found)
                content |= {"ood_results": str(ood_target), "ood_metrics": metrics_json(aurocs)}
                text += _ood_text(aurocs, len(found.summary.mean), ood_target)
    if tell.as_json:
        print_json(content)
    elif not tell.quiet:
        click.echo(text)


def _check_ood(case: Case, target: Path, *, overwrite: bool) -> None:
    """Refuse, before anything is run, what would be refused at the end."""
    from bprune.atomic import check_target
    from bprune.case import Task

    if case.task is Task.REGRESSION:
        raise click.UsageError("--ood-data needs class probabilities, and the case is a regression")
    check_target(target, overwrite=overwrite)


def _ood_text(aurocs: Mapping[str, Estimate], examples: int, target: Path) -> str:
    """How well other examples are told apart, a line each."""
    lines = [
        f"  {name.removeprefix('ood_auroc_').replace('_', ' '):<20} {number(item.value)} +- {number(item.data_stderr)}"
        for name, item in aurocs.items()
    ]
    head = f"{examples:,} examples of another kind are told apart with an AUROC (0.5: not at all, 1: always) of"
    return "\n".join(["", "", head, *lines, f"results: {target}"])


def _content(results: Results) -> dict[str, Any]:
    from bprune.metrics import MAIN_METRICS

    run = results.run
    return {
        "schema": "bprune-infer 2",
        "results": str(results.path),
        "case": run.case,
        "task": results.task.value,
        "examples": len(results.summary.mean),
        "mc_iters": run.mc_iters,
        "seed": run.seed,
        "engine": run.engine,
        "sampling": run.sampling,
        "precision": run.precision,
        "antithetic": run.antithetic,
        "stopping": json.loads(run.stopping) if run.stopping else None,
        "mean_draws": float(results.draws_made.mean()),
        "threshold": run.threshold,
        "inference_runtime_s": run.inference_runtime_s,
        "weights": sum(layer.weights for layer in results.layers),
        "nonzeros": sum(layer.nonzeros for layer in results.layers),
        "metrics": metrics_json(results.metrics(MAIN_METRICS[results.task])),
        **members_json(results, MAIN_METRICS[results.task]),
    }
