"""`bprune plot reliability`: accuracy against confidence."""

from __future__ import annotations

from pathlib import Path

import click

from bprune.commands.options import output_options
from bprune.commands.output import Output
from bprune.commands.plot.options import Picture, name_option, opened, picture_options, results_argument

__all__ = ["command"]


@click.command("reliability")
@results_argument
@name_option
@picture_options
@output_options
def command(paths: tuple[Path, ...], names: tuple[str, ...], picture: Picture, tell: Output) -> None:
    """Draw the reliability diagram: accuracy against confidence in 15 bins, above the histogram of confidence.

    Bars are one standard error. ECE is the expected calibration error.

    \b
    Example:
      bprune plot reliability digits_conv-results.h5
      bprune plot reliability unpruned.h5 pruned.h5 --name unpruned --name "80 %" --out reliability.pdf
    """
    from bprune.plots.reliability import reliability_data

    target = picture.target(f"{paths[0].stem}-reliability")
    with opened(paths) as files:
        data = reliability_data(files, names)
    picture.write("reliability", data, target, None, tell)
