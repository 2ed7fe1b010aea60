"""`bprune plot snr`: histogram and distribution of the signal-to-noise ratio."""

from __future__ import annotations

import click

from bprune.commands.choices import CaseChoice
from bprune.commands.options import case_options, output_options
from bprune.commands.output import Output
from bprune.commands.plot.options import Picture, picture_options

__all__ = ["command"]


@click.command("snr")
@case_options
@click.option(
    "--threshold",
    type=float,
    metavar="SNR",
    help="The SNR that is marked.  [default: that of a pruned case, otherwise 10]",
)
@click.option(
    "--axis",
    type=click.Choice(["log", "linear", "db"]),
    default="log",
    show_default=True,
    help="Linear SNR on a logarithmic or linear axis, or 20 log10(SNR).",
)
@picture_options
@output_options
def command(choice: CaseChoice, threshold: float | None, axis: str, picture: Picture, tell: Output) -> None:
    """Draw how much signal the weights carry: SNR = |loc| / scale, per layer and of all layers.

    Left a histogram, right the share of weights below each SNR, which is the share that a threshold prunes.

    \b
    Example:
      bprune plot snr --case-dir sample_checkpoints/digits_conv
      bprune plot snr --case-dir runs/mnist --axis db --threshold 2.5 --out snr.pdf
    """
    with tell.tensorflow():
        from bprune.plots.snr import SnrAxis, snr_data
        from bprune.posterior import read_network
        from bprune.pruning import DEFAULT_THRESHOLD, read_pruning_record

        case = choice.load()
        target = picture.target(f"{case.name}-snr")
        if threshold is None and case.files.pruning is not None:
            record = read_pruning_record(case.files.pruning)
            threshold = record.threshold if record.criterion == "snr" else None
        marked = DEFAULT_THRESHOLD if threshold is None else threshold
        data = snr_data(read_network(case), marked, SnrAxis(axis))
    picture.write("snr", data, target, case.name, tell)
