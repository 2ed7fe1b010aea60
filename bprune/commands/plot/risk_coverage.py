"""`bprune plot risk-coverage`: errors among the most certain predictions."""

from __future__ import annotations

from pathlib import Path

import click

from bprune.commands.options import output_options
from bprune.commands.output import Output
from bprune.commands.plot.options import Picture, name_option, opened, picture_options, results_argument

__all__ = ["command"]


@click.command("risk-coverage")
@results_argument
@click.option(
    "--by",
    "ranking",
    type=click.Choice(["confidence", "entropy", "mutual-information"]),
    default="confidence",
    show_default=True,
    help="What says how certain a prediction is.",
)
@name_option
@picture_options
@output_options
def command(paths: tuple[Path, ...], ranking: str, names: tuple[str, ...], picture: Picture, tell: Output) -> None:
    """Draw the share of errors among the most certain predictions, against how many of them are kept.

    AURC is the area under the curve; smaller is better.

    \b
    Example:
      bprune plot risk-coverage digits_conv-results.h5
      bprune plot risk-coverage unpruned.h5 pruned.h5 --by mutual-information --out risk.svg
    """
    from bprune.plots.risk_coverage import Ranking, risk_coverage_data

    target = picture.target(f"{paths[0].stem}-risk-coverage")
    with opened(paths) as files:
        data = risk_coverage_data(files, Ranking(ranking), names)
    picture.write("risk-coverage", data, target, None, tell)
