"""`bprune plot`: pictures of cases, results and sweeps; a file for each kind, imported when it is used."""

from __future__ import annotations

import importlib

import click

__all__ = ["command"]

_KINDS = (
    "snr",
    "masks",
    "sweep",
    "pdf",
    "convergence",
    "reliability",
    "risk-coverage",
    "uncertainty",
    "regression",
)


class _LazyKinds(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_KINDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _KINDS:
            return None
        kind = importlib.import_module(f"bprune.commands.plot.{cmd_name.replace('-', '_')}")
        command: click.Command = kind.command
        return command


@click.group("plot", cls=_LazyKinds)
def command() -> None:
    """Draw a picture: PNG, SVG or PDF, by the suffix of --out.

    snr and masks show a case, sweep shows files of bprune sweep, the others show results files of bprune infer. Where
    several files are given they are laid over each other. The same data gives the same bytes. Pictures need matplotlib:
    pip install "bprune[plots]".

    \b
    Example:
      bprune plot snr --case-dir sample_checkpoints/digits_conv
      bprune plot pdf unpruned.h5 pruned.h5 --example 7 --out example-7.svg
    """
