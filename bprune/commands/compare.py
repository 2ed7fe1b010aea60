"""`bprune compare`: what changes between two results files of the same data."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bprune.commands.options import output_options
from bprune.commands.output import Output, number, print_json, print_table

if TYPE_CHECKING:
    from bprune.judgement.compare import Comparison

__all__ = ["command"]


@click.command("compare")
@click.argument("first", type=click.Path(path_type=Path), metavar="A.h5")
@click.argument("second", type=click.Path(path_type=Path), metavar="B.h5")
@click.option("--top", type=click.IntRange(min=0), default=10, show_default=True, help="Most changed examples to list.")
@output_options
def command(first: Path, second: Path, top: int, tell: Output) -> None:
    """Compare two results files of the same data: A is what changes are counted from, B what it became.

    Prints how every metric changes, with paired 95 % confidence intervals that hold both the error of finite data and
    that of finite draws; the examples that change most; and a verdict. What two runs of one network would differ by is
    known from the draws, and taken into account.

    \b
    Example:
      bprune compare digits-results.h5 digits-pruned/results.h5
      bprune compare digits-results.h5 digits-80.h5 --json
    """
    from bprune.judgement.compare import compare_results
    from bprune.results import open_results

    with open_results(first) as a, open_results(second) as b:
        comparison = compare_results(a, b)
    if tell.as_json:
        print_json(_content(comparison, top))
    elif not tell.quiet:
        _print(comparison, top)


def _content(comparison: Comparison, top: int) -> dict[str, Any]:
    return {
        "schema": "bprune-compare 1",
        "first": str(comparison.first),
        "second": str(comparison.second),
        "task": comparison.task.value,
        "examples": comparison.examples,
        "is_different": comparison.noise.is_different,
        "noise": asdict(comparison.noise),
        **_summary(comparison),
        "uncertainty_rank_correlation": comparison.uncertainty.value,
        "uncertainty_rank_correlation_of_one_network": comparison.uncertainty.ceiling,
        "metrics": {
            name: {
                **asdict(item),
                "low": item.difference.value - item.half_width,
                "high": item.difference.value + item.half_width,
            }
            for name, item in comparison.metrics.items()
        },
        "most_changed": _rows(comparison, top),
        "verdict": comparison.verdict,
    }


def _summary(comparison: Comparison) -> dict[str, Any]:
    from bprune.judgement.change import ClassChange

    change = comparison.change
    if isinstance(change, ClassChange):
        return {
            "mean_js_divergence": float(change.js_divergence.mean()),
            "noise_js_divergence": change.noise_js_divergence,
            "mean_total_variation": float(change.total_variation.mean()),
            "noise_total_variation": change.noise_total_variation,
            "flips": int(change.flipped.sum()),
            "noise_flips": change.noise_flips * comparison.examples,
        }
    return {
        "rms_shift": float((change.shift**2).mean() ** 0.5),
        "noise_shift": change.noise_shift,
        "median_stddev_ratio": sorted(change.stddev_ratio.tolist())[comparison.examples // 2],
    }


def _rows(comparison: Comparison, top: int) -> list[dict[str, Any]]:
    """The examples that change most."""
    from bprune.judgement.change import ClassChange

    rows: list[dict[str, Any]] = []
    change, labels = comparison.change, comparison.labels
    for number_ in comparison.most_changed(top).tolist():
        row: dict[str, Any] = {"example": number_}
        if isinstance(change, ClassChange):
            row["label"] = None if labels is None else int(labels[number_])
            row["first_class"] = int(change.first_class[number_])
            row["second_class"] = int(change.second_class[number_])
            row["total_variation"] = float(change.total_variation[number_])
            row["js_divergence"] = float(change.js_divergence[number_])
        else:
            row["shift"] = float(change.shift[number_])
            row["stddev_ratio"] = float(change.stddev_ratio[number_])
        rows.append(row)
    return rows


def _print(comparison: Comparison, top: int) -> None:
    rows = [
        [
            name,
            number(item.first.value),
            number(item.second.value),
            f"{item.difference.value:+.4g}",
            number(item.half_width),
        ]
        for name, item in comparison.metrics.items()
    ]
    print_table(["metric", "A", "B", "B - A", "+- (95 %)"], rows)
    changed = _rows(comparison, top)
    if changed:
        cells = [[_cell(value) for value in row.values()] for row in changed]
        print_table([name.replace("_", " ") for name in changed[0]], cells, text_columns=0)
    click.echo(comparison.verdict)


def _cell(value: Any) -> str:
    return number(value) if isinstance(value, float) or value is None else str(value)
