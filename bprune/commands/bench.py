"""`bprune bench`: time the engines on a case of one's own."""

from __future__ import annotations

import statistics
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import click

from bprune.commands.choices import CaseChoice, DataChoice
from bprune.commands.options import case_options, data_options, output_options
from bprune.commands.output import Output, number, percent, print_json, print_table

if TYPE_CHECKING:
    from bprune.inference.bench import Bench, BenchRow

__all__ = ["command"]

_EXAMPLES = 512
_SPARSITIES = (0.0, 0.8, 0.9, 0.95)
_ROUNDS = 5
_ENGINES = ("tensorflow", "native")
_BASELINE = "the graph as TFP built it, one run of a TensorFlow session per draw"


@click.command("bench")
@case_options
@data_options
@click.option(
    "--sparsity",
    "sparsities",
    type=click.FloatRange(0.0, 1.0),
    multiple=True,
    default=_SPARSITIES,
    show_default=True,
    metavar="SHARE",
    help="Prune this share of all weights, lowest SNR first. Repeatable.",
)
@click.option(
    "--engine",
    "engines",
    type=click.Choice(_ENGINES),
    multiple=True,
    default=_ENGINES,
    show_default=True,
    help="What is compared with the graph. Repeatable.",
)
@click.option(
    "--precision",
    type=click.Choice(["float32", "bfloat16"]),
    default="float32",
    show_default=True,
    help="Number format of products, of the engines that can.",
)
@click.option(
    "--draws", type=click.IntRange(min=1), help="Draws of one repetition. Default: those of the graph in about 2 s."
)
@click.option(
    "--rounds", type=click.IntRange(min=1), default=_ROUNDS, show_default=True, help="Repetitions, made in turns."
)
@output_options
def command(
    choice: CaseChoice,
    data: DataChoice,
    sparsities: tuple[float, ...],
    engines: tuple[str, ...],
    precision: str,
    draws: int | None,
    rounds: int,
    tell: Output,
) -> None:
    """Time the engines on a case and its data, whole and pruned, against its TensorFlow graph.

    The baseline is the graph as TFP built it, one run of a TensorFlow session per draw: what a program that loads the
    model and predicts in a loop does. A loop that TensorFlow compiles as a whole is up to a few times faster than that;
    benchmarks/mc_inference.py compares with such a loop. All engines make the same number of draws of the same
    examples, in turns; ratios are of medians. Reading data, statistics and results files are not part of the times. Of
    the data, the first 512 examples are taken unless --examples says otherwise. Nothing is written.

    \b
    Example:
      bprune bench --case-dir sample_checkpoints/digits_conv
      bprune bench --case-dir runs/mnist --data mnist.npz --scale 255 --sparsity 0 --sparsity 0.9 --examples 1000
    """
    with tell.tensorflow():
        from bprune.engines.choose import EngineName
        from bprune.engines.graph import GraphEngine
        from bprune.engines.tensorflow import Precision
        from bprune.inference.bench import Variant, bench
        from bprune.posterior import read_network

        case = choice.load()
        network = read_network(case)
        oracle = GraphEngine(case, network, network.masks, 0)
        dataset = replace(data, examples=data.examples or _EXAMPLES).read(case, oracle)
        for note in dataset.notes:
            tell.assumption(note)
        with tell.progress(f"{case.name}: {len(dataset)} examples") as progress:
            result = bench(
                case,
                network,
                dataset.inputs,
                dataset.labels,
                sparsities=sparsities,
                variants=[Variant(EngineName(name), Precision(precision)) for name in dict.fromkeys(engines)],
                draws=draws,
                rounds=rounds,
                progress=progress,
            )
    if tell.as_json:
        print_json(_content(case.name, result))
    elif not tell.quiet:
        _print(result)


def _content(case: str, result: Bench) -> dict[str, Any]:
    return {"schema": "bprune-bench 1", "case": case, "baseline": _BASELINE, **asdict(result)}


def _print(result: Bench) -> None:
    columns = ["engine", "sampling", "precision", "pruned", "us", "spread", "ratio"]
    columns += [result.score] if result.score else []
    rows: list[list[str]] = []
    for row in result.rows:
        if rows and row.engine == "graph":
            rows.append([""] * (len(columns) + 1))
        rows.append([*_cells(row), *([number(row.score)] if result.score else []), _units(row)])
    print_table([*columns, "units"], rows, text_columns=3)
    for line in _lines(result):
        click.echo(line)


def _cells(row: BenchRow) -> list[str]:
    spread = (max(row.seconds) - min(row.seconds)) / statistics.median(row.seconds)
    ratio = "1" if row.engine == "graph" else f"{row.ratio:.1f}"
    return [row.engine, row.sampling, row.precision, percent(row.sparsity), number(row.us), f"{spread:.0%}", ratio]


def _units(row: BenchRow) -> str:
    return "-".join(str(count) for count in row.units.values()) if row.units is not None else ""


def _lines(result: Bench) -> list[str]:
    machine = result.machine
    gpus = f", {', '.join(machine.gpus)}" if machine.gpus else ""
    lines = [
        f"us: microseconds per example and draw, median of {result.rounds} repetitions of {result.draws} draws of "
        f"{result.examples:,} examples; spread: slowest to fastest.",
        f"ratio: how many times faster than {_BASELINE}.",
        f"{machine.cpu}, {machine.cores} of {machine.all_cores} cores{gpus}",
        *(f"Note: {item}." for item in result.notes),
    ]
    reasons: dict[str, list[str]] = {}
    for item in result.left_out:
        where = item.engine if item.sparsity is None else f"{item.engine} at {percent(item.sparsity)}"
        reasons.setdefault(item.reason, []).append(where)
    return lines + [f"Left out: {', '.join(where)}: {reason}" for reason, where in reasons.items()]
