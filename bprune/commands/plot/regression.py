"""`bprune plot regression`: predicted values with aleatoric and epistemic uncertainty."""

from __future__ import annotations

from pathlib import Path

import click

from bprune.commands.options import output_options
from bprune.commands.output import Output
from bprune.commands.plot.options import Picture, opened, picture_options

__all__ = ["command"]


@click.command("regression")
@click.argument("path", type=click.Path(path_type=Path), metavar="RESULTS")
@click.option("--output", type=int, default=0, show_default=True, metavar="N", help="Number of the output, from 0.")
@picture_options
@output_options
def command(path: Path, output: int, picture: Picture, tell: Output) -> None:
    """Draw the predictions of a regression with 95 % bands, what the network does not know apart from noise.

    Against the input where it is one number, otherwise against the true value.

    \b
    Example:
      bprune plot regression regression_1d-results.h5
      bprune plot regression runs/houses-results.h5 --output 1 --out houses.svg
    """
    from bprune.plots.regression import regression_data

    target = picture.target(f"{path.stem}-regression")
    with opened((path,)) as files:
        data = regression_data(files[0], output)
    picture.write("regression", data, target, None, tell)
