"""`bprune inspect`: what a case holds and how much signal its weights carry."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from bprune.commands.choices import CaseChoice, CriterionChoice, DataChoice
from bprune.commands.options import case_options, criterion_options, data_options, output_options
from bprune.commands.output import Output, number, percent, print_json, print_table

if TYPE_CHECKING:
    from bprune.case import Case
    from bprune.posterior import Network, Posterior
    from bprune.pruning import Context, Criterion

__all__ = ["command"]

_NO_DATA = DataChoice(None, None, None, None, None, None)
_LISTED = 8
_SHOWN = {"5%": 1, "median": 3, "95%": 5, "max": 6}


@click.command("inspect")
@case_options
@click.option(
    "--threshold",
    type=float,
    metavar="NUMBER",
    help="Count weights with a smaller score.  [default: the criterion's own, an SNR of 10]",
)
@criterion_options
@data_options
@output_options
def command(
    choice: CaseChoice, threshold: float | None, scored: CriterionChoice, data: DataChoice, tell: Output
) -> None:
    """Show the layers of a case, their posteriors and their signal-to-noise ratios.

    With --criterion, the scores of another criterion are shown and what share its threshold would prune; kl-bits tells
    how much information every layer holds. Data are for the criteria activation-magnitude and activation-moment.

    \b
    Example:
      bprune inspect --case-dir sample_checkpoints/digits_conv
      bprune inspect --case-dir runs/mnist --checkpoint 14000 --threshold 2.5 --json
      bprune inspect --case-dir sample_checkpoints/digits_conv --criterion bmr
    """
    with tell.tensorflow():
        from bprune.posterior import read_network
        from bprune.pruning import check_context, check_threshold

        criterion, context = scored.find(), scored.context()
        check_context(criterion, context)
        if threshold is not None:
            check_threshold(criterion, threshold)
        if data != _NO_DATA and "activations" not in criterion.uses:
            raise click.UsageError(f"the criterion {criterion.name} looks at no data")
        case = choice.load()
        network = read_network(case)
        context = data.measured(criterion, context, case, network)
        content = _describe(case, network, criterion, context, threshold)
    if tell.as_json:
        print_json(content)
    elif not tell.quiet:
        _print(content, tell)


def _describe(
    case: Case, network: Network, criterion: Criterion, context: Context, threshold: float | None
) -> dict[str, Any]:
    from bprune.posterior import SNR_QUANTILES, summarise_snr
    from bprune.pruning import read_pruning_record, score_weights, summarise_scores

    threshold = criterion.own_threshold if threshold is None else threshold
    scores = score_weights(network, criterion, context)

    def summary(posteriors: Sequence[Posterior]) -> dict[str, Any]:
        snr = summarise_snr(posteriors, math.nan)
        found = summarise_scores(
            [scores[item.name] for item in posteriors], [item.mask for item in posteriors], SNR_QUANTILES, threshold
        )
        return {
            "weights": snr.weights,
            "nonzeros": snr.kept,
            "snr_quantiles": _by_share(snr.quantiles),
            "score_quantiles": _by_share(found.quantiles),
            "below_threshold": found.below,
            **({"bits": found.total} if criterion.unit == "bits" else {}),
        }

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
        "criterion": criterion.name,
        "unit": criterion.unit,
        "parameters": criterion.parameters(context),
        "threshold": threshold,
        "layers": [
            {
                "layer": item.layer,
                "part": item.part,
                "kind": item.kind,
                "family": item.family.name,
                "shape": item.shape,
                **summary([item]),
            }
            for item in network.posteriors
        ],
        "deterministic": _deterministic(case, network),
        "total": summary(network.posteriors),
        "unpruned": [{"name": item.name, "reason": item.reason} for item in network.unrecognised],
    }


def _by_share(quantiles: Sequence[float]) -> dict[str, float]:
    from bprune.posterior import SNR_QUANTILES

    return {f"{share:g}": value for share, value in zip(SNR_QUANTILES, quantiles, strict=True)}


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
    given = ", ".join(f"{name} {value:g}" for name, value in content["parameters"].items())
    label = "SNR"
    if content["criterion"] != "snr":
        label = "score"
        click.echo(f"score: {content['criterion']}, {content['unit']}{' with ' if given else ''}{given}")
    columns = ["tensor", "kind", "family", "shape", "weights", "kept", *(f"{label} {name}" for name in _SHOWN)]
    with_share = content["threshold"] is not None
    columns += [f"{label} < {content['threshold']:g}"] if with_share else []
    columns += ["bits"] if "bits" in content["total"] else []
    rows = [
        [
            f"{item['layer']}/{item['part']}",
            item["kind"],
            item["family"],
            "x".join(map(str, item["shape"])),
            *_cells(item, with_share=with_share),
        ]
        for item in content["layers"]
    ]
    rows += [[""] * len(columns), ["all posteriors", "", "", "", *_cells(content["total"], with_share=with_share)]]
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


def _cells(item: dict[str, Any], *, with_share: bool) -> list[str]:
    quantiles = list(item["score_quantiles"].values())
    cells = [f"{item['weights']:,}", f"{item['nonzeros']:,}"]
    cells += [number(quantiles[index]) for index in _SHOWN.values()]
    cells += [percent(item["below_threshold"])] if with_share else []
    return cells + ([number(item["bits"])] if "bits" in item else [])
