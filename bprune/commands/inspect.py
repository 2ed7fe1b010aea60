"""`bprune inspect`: what a case holds and how much signal its weights carry."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from bprune.commands.choices import CaseChoice
from bprune.commands.options import case_options, output_options
from bprune.commands.output import Output, number, percent, print_json, print_table

if TYPE_CHECKING:
    from bprune.case import Case
    from bprune.posterior import Network, SnrSummary

__all__ = ["command"]

_LISTED = 8
_SHOWN = {"5%": 1, "median": 3, "95%": 5, "max": 6}


@click.command("inspect")
@case_options
@click.option(
    "--threshold", type=float, default=10.0, show_default=True, metavar="SNR", help="Count weights below this SNR."
)
@output_options
def command(choice: CaseChoice, threshold: float, tell: Output) -> None:
    """Show the layers of a case, their posteriors and their signal-to-noise ratios.

    \b
    Example:
      bprune inspect --case-dir sample_checkpoints/digits_conv
      bprune inspect --case-dir runs/mnist --checkpoint 14000 --threshold 2.5 --json
    """
    if not threshold >= 0.0:
        raise click.UsageError(f"--threshold {threshold:g} must be at least 0")
    with tell.tensorflow():
        from bprune.posterior import read_network

        case = choice.load()
        content = _describe(case, read_network(case), threshold)
    if tell.as_json:
        print_json(content)
    elif not tell.quiet:
        _print(content, tell)


def _describe(case: Case, network: Network, threshold: float) -> dict[str, Any]:
    from bprune.posterior import summarise_snr
    from bprune.pruning import read_pruning_record

    files, roles, graph = case.files, case.roles, case.graph
    record = read_pruning_record(files.pruning) if files.pruning is not None else None
    return {
        "schema": "bprune-inspect 1",
        "case": str(files.root),
        "checkpoint": files.iteration.name,
        "iterations": [item.name for item in files.iterations],
        "meta": files.meta.name,
        "pruned": files.pruning is not None or any(not item.mask.all() for item in network.posteriors),
        "pruning": asdict(record) if record else None,
        "heldout": files.heldout is not None,
        "task": case.task.value,
        "input": {"name": roles.input, "shape": graph.input_shape, "dtype": graph.input_dtype},
        "output": {"name": roles.output, "holds": roles.kind.value, "scale": roles.scale},
        "label": roles.label,
        "log_prob": roles.log_prob,
        "accuracy": roles.accuracy,
        "samples": roles.samples,
        "recognised": list(roles.found),
        "threshold": threshold,
        "layers": [
            {
                "layer": item.layer,
                "part": item.part,
                "kind": item.kind,
                "family": item.family.name,
                "shape": item.shape,
                **_snr(summarise_snr([item], threshold)),
            }
            for item in network.posteriors
        ],
        "deterministic": _deterministic(case, network),
        "total": _snr(summarise_snr(network.posteriors, threshold)),
        "unpruned": [{"name": item.name, "reason": item.reason} for item in network.unrecognised],
    }


def _snr(summary: SnrSummary) -> dict[str, Any]:
    from bprune.posterior import SNR_QUANTILES

    return {
        "weights": summary.weights,
        "nonzeros": summary.kept,
        "snr_quantiles": {f"{share:g}": value for share, value in zip(SNR_QUANTILES, summary.quantiles, strict=True)},
        "below_threshold": summary.below,
    }


def _deterministic(case: Case, network: Network) -> list[dict[str, Any]]:
    """Variables that belong to no posterior: biases, batch norm, ordinary layers."""
    kinds = {item.layer: item.kind for item in reversed(network.posteriors)}
    stored = {item.stored_loc.variable for item in network.posteriors}
    stored |= {item.stored_scale.variable for item in network.posteriors}
    return [
        {
            "layer": layer.name,
            "kind": kinds.get(layer.name, layer.kind),
            "variable": name,
            "shape": case.checkpoint.entries[name].shape,
        }
        for layer in case.layer_names.layers
        for name in layer.variables
        if name not in stored
    ]


def _print(content: dict[str, Any], tell: Output) -> None:
    from bprune.pruning import PruningRecord

    iterations = content["iterations"]
    shape = content["input"]["shape"]
    sizes = "x".join("?" if size is None else str(size) for size in shape[1:]) if shape else "any shape"
    click.echo(f"{content['case']}: {content['task']}, checkpoint {content['checkpoint']} of {len(iterations)}")
    click.echo(
        f"input {content['input']['name']} ({sizes} {content['input']['dtype']}), "
        f"output {content['output']['name']} ({content['output']['holds']})"
    )
    if content["pruning"]:
        click.echo(PruningRecord(**content["pruning"]).describe())
    below = f"SNR < {content['threshold']:g}"
    columns = ["tensor", "kind", "family", "shape", "weights", "kept", *(f"SNR {name}" for name in _SHOWN), below]
    rows = [
        [
            f"{item['layer']}/{item['part']}",
            item["kind"],
            item["family"],
            "x".join(map(str, item["shape"])),
            *_cells(item),
        ]
        for item in content["layers"]
    ]
    rows += [[""] * len(columns), ["all posteriors", "", "", "", *_cells(content["total"])]]
    print_table(columns, rows, text_columns=4)
    deterministic = content["deterministic"]
    if deterministic:
        names = ", ".join(item["variable"] for item in deterministic)
        if len(deterministic) > _LISTED and not tell.verbose:
            names = f"{len(deterministic)} variables (-v lists them)"
        click.echo(f"deterministic, never pruned: {names}")
    for item in content["unpruned"]:
        click.echo(f"not prunable: {item['name']}: {item['reason']}")
    if len(iterations) > 1:
        click.echo(f"iterations: {', '.join(iterations)}")
    for sentence in content["recognised"]:
        tell.assumption(sentence)


def _cells(item: dict[str, Any]) -> list[str]:
    quantiles = list(item["snr_quantiles"].values())
    shown = [number(quantiles[index]) for index in _SHOWN.values()]
    return [f"{item['weights']:,}", f"{item['nonzeros']:,}", *shown, percent(item["below_threshold"])]
