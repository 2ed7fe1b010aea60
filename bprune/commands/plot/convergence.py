"""`bprune plot convergence`: means and metrics against the number of draws."""

from __future__ import annotations

from pathlib import Path

import click

from bprune.commands.options import output_options
from bprune.commands.output import Output
from bprune.commands.plot.options import Picture, name_option, opened, picture_options, results_argument

__all__ = ["command"]


@click.command("convergence")
@results_argument
@click.option(
    "--example", type=int, metavar="N", help="Number of an example, from 0.  [default: the least settled one]"
)
@click.option(
    "--class", "output", type=int, metavar="C", help="Class, or output of a regression.  [default: the least settled]"
)
@click.option(
    "--metric",
    "metrics",
    multiple=True,
    metavar="NAME",
    help="A metric, such as ece. Repeatable.  [default: accuracy and nll, or rmse, where there are labels]",
)
@name_option
@picture_options
@output_options
def command(
    paths: tuple[Path, ...],
    example: int | None,
    output: int | None,
    metrics: tuple[str, ...],
    names: tuple[str, ...],
    picture: Picture,
    tell: Output,
) -> None:
    """Draw how the mean of an example and the metrics of all settle with the number of draws.

    Bands are 95 % intervals for the finite number of draws. The files must hold their draws (bprune infer --draws all).

    \b
    Example:
      bprune plot convergence digits_conv-results.h5
      bprune plot convergence unpruned.h5 pruned.h5 --example 7 --metric nll --out convergence.svg
    """
    from bprune.plots.convergence import convergence_data

    target = picture.target(f"{paths[0].stem}-convergence")
    with opened(paths) as files:
        data = convergence_data(files, example, output, metrics, names)
    picture.write("convergence", data, target, None, tell)
