"""`bprune infer`: MC inference into a results file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bprune.commands.choices import CaseChoice, DataChoice, RuleChoice, RunChoice
from bprune.commands.options import case_options, data_options, output_options, rule_options, run_options
from bprune.commands.output import Output, metrics_json, print_json

if TYPE_CHECKING:
    from bprune.results import Results

__all__ = ["command"]


@click.command("infer")
@case_options
@data_options
@rule_options
@run_options
@click.option("--out", type=click.Path(path_type=Path), help="The results file.  [default: CASE-results.h5 here]")
@output_options
def command(
    choice: CaseChoice,
    data: DataChoice,
    pruning: RuleChoice,
    run: RunChoice,
    out: Path | None,
    tell: Output,
) -> None:
    """Run MC inference: draw the weights many times and average the predictions.

    With --threshold, --sparsity or --criterion weights are pruned on the fly, as `bprune prune` would, and no case is
    written.

    The results file is HDF5; xarray, netCDF4 and ArviZ open it.

    \b
    Example:
      bprune infer --case-dir sample_checkpoints/digits_conv
      bprune infer --case-dir runs/mnist --data mnist.npz --scale 255 --mc-iters 400 --draws none
      bprune infer --case-dir runs/mnist --data mnist.npz --scale 255 --mc-iters auto --max-mc-iters 2000
    """
    with tell.tensorflow():
        from bprune.posterior import read_network

        rule = pruning.rule() if pruning.is_given else None
        case = choice.load()
        network = read_network(case)
        masks = pruning.plan(rule, case, network, data, tell).masks if rule is not None else network.masks
        target = out if out is not None else Path(f"{case.name}-results.h5")
        with run.record(case, network, masks, data, target, rule=rule, tell=tell) as results:
            text, content = results.describe(), _content(results)
    if tell.as_json:
        print_json(content)
    elif not tell.quiet:
        click.echo(text)


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
    }
