"""`bprune plot pdf`: the predictive density of the softmax value."""

from __future__ import annotations

from pathlib import Path

import click

from bprune.commands.options import output_options
from bprune.commands.output import Output
from bprune.commands.plot.options import Picture, name_option, opened, picture_options, results_argument

__all__ = ["command"]


@click.command("pdf")
@results_argument
@click.option(
    "--example",
    "examples",
    type=int,
    multiple=True,
    metavar="N",
    help="Number of an example, from 0. Repeatable.  [default: the one with the largest mutual information]",
)
@click.option(
    "--class",
    "classes",
    type=int,
    multiple=True,
    metavar="C",
    help="A class. Repeatable.  [default: the true one and the most probable, three in all]",
)
@click.option(
    "--width",
    type=click.FloatRange(min=0.0, min_open=True),
    default=1.0,
    show_default=True,
    metavar="FACTOR",
    help="Width of the estimate, in Scott's widths; smaller shows more detail, and more noise.",
)
@name_option
@picture_options
@output_options
def command(
    paths: tuple[Path, ...],
    examples: tuple[int, ...],
    classes: tuple[int, ...],
    width: float,
    names: tuple[str, ...],
    picture: Picture,
    tell: Output,
) -> None:
    """Draw the predictive density of the softmax value over draws, per example and class.

    Several files (prunings, or numbers of draws) of the same examples are laid over each other. The files must hold
    their draws (bprune infer --draws all).

    \b
    Example:
      bprune plot pdf digits_conv-results.h5 --example 7 --example 12
      bprune plot pdf unpruned.h5 pruned-80.h5 pruned-95.h5 --example 18 --out figure-9.pdf
    """
    from bprune.plots.pdf import pdf_data

    target = picture.target(f"{paths[0].stem}-pdf")
    with opened(paths) as files:
        data = pdf_data(files, examples, classes, names, width)
    picture.write("pdf", data, target, None, tell)
