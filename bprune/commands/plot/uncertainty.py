"""`bprune plot uncertainty`: entropy and mutual information of right and wrong predictions."""

from __future__ import annotations

from pathlib import Path

import click

from bprune.commands.options import output_options
from bprune.commands.output import Output
from bprune.commands.plot.options import Picture, opened, picture_options

__all__ = ["command"]


@click.command("uncertainty")
@click.argument("path", type=click.Path(path_type=Path), metavar="RESULTS")
@picture_options
@output_options
def command(path: Path, picture: Picture, tell: Output) -> None:
    """Draw predictive entropy and mutual information of right against wrong predictions.

    AUROC is the probability that a wrong prediction is more uncertain than a right one: 0.5 is no use, 1 is perfect.

    \b
    Example:
      bprune plot uncertainty digits_conv-results.h5
      bprune plot uncertainty runs/mnist-results.h5 --out uncertainty.pdf
    """
    from bprune.plots.uncertainty import uncertainty_data

    target = picture.target(f"{path.stem}-uncertainty")
    with opened((path,)) as files:
        data = uncertainty_data(files[0])
    picture.write("uncertainty", data, target, None, tell)
