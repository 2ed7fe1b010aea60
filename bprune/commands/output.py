"""What commands print: JSON objects or tables on standard output, everything else on standard error."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import click

from bprune.cells import number, percent
from bprune.plain import plain
from bprune.signals import raise_pending

if TYPE_CHECKING:
    from bprune.inference.progress import Progress
    from bprune.metrics import Estimate
    from bprune.results import Results

__all__ = ["Output", "members_json", "metrics_json", "number", "percent", "print_json", "print_table"]


@dataclass(frozen=True)
class Output:
    """How much a command tells, and in which form."""

    as_json: bool
    quiet: bool
    verbose: int

    def assumption(self, message: str) -> None:
        """A line on standard error about something that was assumed; with -v alone."""
        if self.verbose and not self.quiet:
            click.echo(message, err=True)

    def notice(self, message: str) -> None:
        """A line on standard error for people."""
        if not self.quiet:
            click.echo(message, err=True)

    @contextmanager
    def progress(self, label: str) -> Iterator[Progress]:
        """A progress display on standard error, which also notices a signal that was lost.

        Where kernels have to be compiled meanwhile it says so, since a first run can wait for that longer than it runs.
        """
        from bprune.engines.compilation import watch_compilation
        from bprune.inference.progress import show_progress

        with show_progress(label, quiet=self.quiet) as display, watch_compilation(display.compiling):

            def update(share: float) -> None:
                raise_pending()
                display(share)

            yield update

    def tensorflow(self) -> AbstractContextManager[None]:
        """TensorFlow without its messages, and without Keras; with -vv with its messages."""
        from bprune.start import start_tensorflow

        return start_tensorflow(show=self.verbose >= 2)


_UNWRAPPED = 1000  # columns: a table in a file or a pipe is never folded


def print_json(content: Mapping[str, Any]) -> None:
    """One object on standard output; NaN and infinities as null, which JSON has no words for."""
    click.echo(json.dumps(plain(content), indent=2, allow_nan=False))


def metrics_json(metrics: Mapping[str, Estimate]) -> dict[str, Any]:
    """Each metric as an object: value, data_stderr, mc_stderr."""
    return {name: asdict(item) for name, item in metrics.items()}


def members_json(results: Results, names: Sequence[str] | None = None) -> dict[str, Any]:
    """What is said of an ensemble's members: `members`, each with record, weights and metrics, and `mean_member`.

    Args:
        results: The results; those of one network say nothing.
        names: Names of the metrics; None takes all that apply.
    """
    from bprune.results.describe import mean_of_members, member_metrics

    if not results.members:
        return {}
    each = member_metrics(results, names)
    members = []
    for number_, (record, metrics) in enumerate(zip(results.run.members, each, strict=True)):
        layers = [layer for layer in results.layers if layer.member == number_]
        counts = {
            "weights": sum(layer.weights for layer in layers),
            "nonzeros": sum(layer.nonzeros for layer in layers),
        }
        plan = json.loads(record.plan) if record.plan else None
        members.append(asdict(record) | {"plan": plan} | counts | {"metrics": metrics_json(metrics)})
    return {"members": members, "mean_member": mean_of_members(each)}


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, text_columns: int = 1) -> None:
    """A table on standard output.

    Args:
        columns: Headings.
        rows: Cells; a row of empty cells draws a line.
        text_columns: How many columns, from the left, are text; the others are numbers and stand right.
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for index, column in enumerate(columns):
        table.add_column(column, justify="left" if index < text_columns else "right", overflow="fold")
    for row in rows:
        if any(row):
            table.add_row(*row)
        else:
            table.add_section()
    console = Console(file=sys.stdout, width=None if sys.stdout.isatty() else _UNWRAPPED, highlight=False)
    console.print(table)
