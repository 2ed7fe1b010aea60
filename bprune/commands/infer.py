"""`bprune infer`: MC inference into a results file."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from bprune.commands.options import case_options, common_options, data_options, parse_pairs, run_options
from bprune.commands.output import plain_tensorflow, print_json, tell

__all__ = ["command"]


@click.command("infer")
@case_options
@data_options
@click.option("--threshold", type=float, metavar="SNR", help="Prune on the fly: weights with a smaller SNR are 0.")
@click.option("--allow-empty-layers", is_flag=True, help="Let a layer lose all its weights.")
@run_options
@click.option("--out", type=click.Path(path_type=Path), help="The results file.  [default: CASE-results.h5 here]")
@common_options
def command(
    case_dir: Path,
    checkpoint: str | None,
    input_op: str | None,
    output_op: str | None,
    task: str | None,
    feed: tuple[str, ...],
    trust_graph: bool,
    data: Path | None,
    labels: Path | None,
    x_key: str | None,
    y_key: str | None,
    scale: float | None,
    examples: int | None,
    threshold: float | None,
    allow_empty_layers: bool,
    mc_iters: int,
    seed: int,
    batch_size: int | None,
    draws: str,
    overwrite: bool,
    out: Path | None,
    as_json: bool,
    quiet: bool,
    verbose: int,
) -> None:
    """Run MC inference: draw the weights many times and average the predictions.

    The results file is HDF5; xarray, netCDF4 and ArviZ open it.

    \b
    Example:
      bprune infer --case-dir sample_checkpoints/digits_conv
      bprune infer --case-dir runs/mnist --data mnist.npz --scale 255 --mc-iters 400 --draws none
    """
    feeds = parse_pairs("--feed", feed)
    with plain_tensorflow(verbose):
        from bprune.case import load_case
        from bprune.commands.setup import DataChoice, prepare_engine
        from bprune.inference.progress import show_progress
        from bprune.posterior import read_network
        from bprune.pruning import Rule, check_no_empty_layer, choose_masks
        from bprune.results.record import new_run, record_draws

        case = load_case(
            case_dir,
            checkpoint=checkpoint,
            input_op=input_op,
            output_op=output_op,
            task=task,
            feeds=feeds,
            trust_graph=trust_graph,
        )
        network = read_network(case)
        masks, rule = network.masks, None
        if threshold is not None:
            rule = Rule(threshold)
            masks = choose_masks(network, rule)
            if not allow_empty_layers:
                check_no_empty_layer(network, masks, rule)
        target = out if out is not None else Path(f"{case.name}-results.h5")
        choice = DataChoice(data, labels, x_key, y_key, scale, examples)
        engine, dataset = prepare_engine(case, network, masks, seed, choice)
        for note in dataset.notes:
            tell(note, quiet=quiet or not verbose)
        run = new_run(
            case, engine, mc_iters=mc_iters, seed=seed, rule=rule, command=" ".join(["bprune", *sys.argv[1:]])
        )
        with show_progress(f"{case.name}: {mc_iters} draws", quiet=quiet) as progress:
            results = record_draws(
                case,
                network,
                masks,
                engine,
                dataset,
                target,
                run,
                keep_draws=draws == "all",
                batch_size=batch_size,
                overwrite=overwrite,
                progress=progress,
            )
        with results:
            text, content = results.describe(), _content(results, target)
    if as_json:
        print_json(content)
    elif not quiet:
        click.echo(text)


def _content(results: Any, path: Path) -> dict[str, Any]:
    from dataclasses import asdict

    scores = results.scores()
    run = results.run
    return {
        "schema": "bprune-infer 1",
        "results": str(path),
        "case": run.case,
        "task": results.task.value,
        "examples": len(results.summary.mean),
        "mc_iters": run.mc_iters,
        "seed": run.seed,
        "engine": run.engine,
        "sampling": run.sampling,
        "threshold": run.threshold,
        "inference_runtime_s": run.inference_runtime_s,
        "weights": sum(layer.weights for layer in results.layers),
        "nonzeros": sum(layer.nonzeros for layer in results.layers),
        "scores": {name: value for name, value in asdict(scores).items() if value is not None} if scores else None,
    }
