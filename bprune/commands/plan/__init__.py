"""`bprune plan`: a run as tasks of a batch system; a file for each command that can be planned."""

from __future__ import annotations

import importlib

import click

__all__ = ["command"]

_KINDS = ("infer", "sweep")


class _LazyKinds(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_KINDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _KINDS:
            return None
        command: click.Command = importlib.import_module(f"bprune.commands.plan.{cmd_name}").command
        return command


@click.group("plan", cls=_LazyKinds)
def command() -> None:
    """Divide a run into tasks for a batch system: Slurm, PBS, HTCondor or a loop in a shell.

    The plan is a JSON file with paths, digests and options. Every task is `bprune run-task PLAN --index I`, on any
    machine that sees case and data under the same paths; `bprune collect PLAN` puts together what they gave, to the
    last bit what one process would have written. Tasks may be repeated, and run in any order; docs/scale.md has job
    scripts.

    \b
    Example:
      bprune plan infer --case-dir sample_checkpoints/digits_conv --tasks 4 -o plan.json
      for i in 0 1 2 3; do bprune run-task plan.json --index $i; done
      bprune collect plan.json
    """
