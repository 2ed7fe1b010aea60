"""`bprune plot sweep`: metrics against the share of pruned weights."""

from __future__ import annotations

from pathlib import Path

import click

from bprune.commands.options import output_options
from bprune.commands.output import Output
from bprune.commands.plot.options import Picture, name_option, picture_options

__all__ = ["command"]


@click.command("sweep")
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="SWEEP...")
@click.option(
    "--metric",
    "metrics",
    multiple=True,
    metavar="NAME",
    help="A metric of the sweep, multiply_adds or draw_us. Repeatable.  [default: accuracy or rmse, and nll]",
)
@click.option(
    "--axis",
    type=click.Choice(["sparsity", "threshold"]),
    default="sparsity",
    show_default=True,
    help="What runs along the horizontal axis.",
)
@click.option("--difference", is_flag=True, help="Show differences to the whole network, paired.")
@name_option
@picture_options
@output_options
def command(
    paths: tuple[Path, ...],
    metrics: tuple[str, ...],
    axis: str,
    difference: bool,
    names: tuple[str, ...],
    picture: Picture,
    tell: Output,
) -> None:
    """Draw what pruning costs: metrics against the share of pruned weights, of one sweep or more.

    Bands are 95 % intervals: of a metric for the finite number of draws, of a difference for draws and examples. The
    dotted line is the whole network.

    \b
    Example:
      bprune plot sweep mnist-sweep.h5
      bprune plot sweep snr.h5 bmr.h5 --name SNR --name BMR --metric accuracy --metric ece --out criteria.pdf
    """
    from bprune.judgement import read_sweep
    from bprune.plots.sweep import SweepAxis, sweep_data

    target = picture.target(f"{paths[0].stem}-sweep" if "sweep" not in paths[0].stem else paths[0].stem)
    sweeps = [read_sweep(path) for path in paths]
    for path, sweep in zip(paths, sweeps, strict=True):
        if not sweep.finished:
            tell.notice(f"{path} is not finished: it has {len(sweep.points)} points so far.")
    data = sweep_data(sweeps, metrics, axis=SweepAxis(axis), difference=difference, names=names)
    picture.write("sweep", data, target, ", ".join(dict.fromkeys(sweep.case for sweep in sweeps)), tell)
