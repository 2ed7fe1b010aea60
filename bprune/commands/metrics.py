"""`bprune metrics`: every metric of a results file, with its errors."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bprune.commands.options import output_options
from bprune.commands.output import Output, members_json, metrics_json, number, print_json, print_table

if TYPE_CHECKING:
    from bprune.metrics import Estimate
    from bprune.results import Results

__all__ = ["command"]


@click.command("metrics")
@click.argument("results", type=click.Path(path_type=Path))
@click.option("--ood", type=click.Path(path_type=Path), help="Results of the network for examples of another kind.")
@output_options
def command(results: Path, ood: Path | None, tell: Output) -> None:
    """Print every metric of a results file with two standard errors: of finite data and of finite draws.

    Of an ensemble it tells the mean over members of their metrics too, and --json what each member has.

    With --ood, also how well uncertainty tells other examples from those of the file (AUROC). Files of older versions
    have no MC errors.

    \b
    Example:
      bprune metrics digits-results.h5
      bprune metrics digits-results.h5 --ood letters-results.h5 --json
    """
    from bprune.results import open_results

    with open_results(results) as opened:
        if ood is None:
            metrics = opened.metrics()
        else:
            with open_results(ood) as other:
                metrics = opened.metrics(ood=other)
        content = _content(opened, ood, metrics)
        titles = _titles(opened)
    if tell.as_json:
        print_json(content)
    elif not tell.quiet:
        _print(metrics, titles, content)
        if content["labels"] is False:
            tell.notice("The file has no labels, so metrics that need them are left out.")


def _content(results: Results, ood: Path | None, metrics: dict[str, Estimate]) -> dict[str, Any]:
    return {
        "schema": "bprune-metrics 1",
        "results": str(results.path),
        "ood": None if ood is None else str(ood),
        "case": results.run.case,
        "task": results.task.value,
        "examples": len(results.summary.mean),
        "labels": results.labels is not None,
        "mean_draws": float(results.draws_made.mean()),
        "metrics": metrics_json(metrics),
        **members_json(results),
    }


def _titles(results: Results) -> dict[str, tuple[str, str]]:
    """Title and unit of every metric."""
    from bprune.metrics import METRICS

    known = {name: (metric.title, metric.unit) for name, metric in METRICS[results.task].items()}
    return known | {
        "ood_auroc_entropy": ("OOD AUROC by predictive entropy", "1"),
        "ood_auroc_mutual_information": ("OOD AUROC by mutual information", "1"),
    }


def _print(metrics: dict[str, Estimate], titles: dict[str, tuple[str, str]], content: dict[str, Any]) -> None:
    columns, mean = ["metric", "", "unit", "value", "data stderr", "MC stderr"], content.get("mean_member")
    rows = []
    for name, item in metrics.items():
        title, unit = titles[name]
        cells = [number(item.value), number(item.data_stderr), number(item.mc_stderr)]
        if mean is not None:
            cells.append(number(mean[name]) if name in mean else "")
        rows.append([name, title, "" if unit == "1" else unit, *cells])
    print_table(columns + ([] if mean is None else ["mean member"]), rows, text_columns=3)
