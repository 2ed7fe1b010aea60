"""Options that all pictures share, and what a command does when its data is there."""

from __future__ import annotations

import contextlib
import dataclasses
import enum
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bprune.commands.options import group_options
from bprune.commands.output import Output, print_json

if TYPE_CHECKING:
    from bprune.results import Results

__all__ = ["Picture", "name_option", "opened", "picture_options", "results_argument"]


class _Size(click.ParamType):  # type: ignore[type-arg,unused-ignore]
    """WIDTHxHEIGHT in inches."""

    name = "WxH"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[float, float]:
        """Two numbers."""
        if isinstance(value, tuple):
            return value
        width, _, height = str(value).lower().partition("x")
        try:
            return float(width), float(height)
        except ValueError:
            self.fail(f"{value} is not WIDTHxHEIGHT in inches, such as 6x4", param, ctx)


@dataclass(frozen=True)
class Picture:
    """Where a picture goes, and how large it is."""

    out: Path | None
    size: tuple[float, float] | None
    dpi: int
    title: str | None
    overwrite: bool

    def target(self, default: str) -> Path:
        """The file to write; refused before any work is done where it cannot be written."""
        from bprune.plots.save import check_target

        path = self.out if self.out is not None else Path(f"{default}.png")
        check_target(path, overwrite=self.overwrite)
        return path

    def write(self, kind: str, data: object, target: Path, title: str | None, tell: Output) -> None:
        """Draw the data, write the file, and say so."""
        from bprune.plots.figure import figure_of
        from bprune.plots.save import write_figure

        figure = figure_of(data, size=self.size, title=title if self.title is None else self.title)
        write_figure(figure, target, dpi=self.dpi, overwrite=self.overwrite)
        if tell.as_json:
            print_json({"schema": "bprune-plot 1", "kind": kind, "picture": str(target), "data": _plain(data)})
        elif not tell.quiet:
            click.echo(f"picture: {target}")


def _plain(value: Any) -> Any:
    """Data of a picture as JSON has it; arrays as lists, without those that are images."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            item.name: _plain(getattr(value, item.name))
            for item in dataclasses.fields(value)
            if item.metadata.get("json", True)
        }
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value.tolist() if hasattr(value, "tolist") else value


picture_options: Callable[[Any], Any] = group_options(
    "picture",
    Picture,
    click.option(
        "--out",
        type=click.Path(path_type=Path),
        metavar="FILE.{png,svg,pdf}",
        help="The picture.  [default: named after input and kind, a PNG here]",
    ),
    click.option("--size", type=_Size(), metavar="WxH", help="Width and height in inches. Default: what fits."),
    click.option(
        "--dpi", type=click.IntRange(20, 1200), default=150, show_default=True, help="Dots per inch of a PNG."
    ),
    click.option("--title", metavar="TEXT", help="Heading; an empty one for none."),
    click.option("--overwrite", is_flag=True, help="Replace a picture that is there already."),
)
"""Where the picture goes: the argument `picture`."""

name_option = click.option(
    "--name", "names", multiple=True, metavar="TEXT", help="Name of a file in the legend. Repeatable, in order."
)

results_argument = click.argument(
    "paths", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="RESULTS..."
)


@contextlib.contextmanager
def opened(paths: tuple[Path, ...]) -> Iterator[list[Results]]:
    """Results files, open for the body."""
    from bprune.results import open_results

    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(open_results(path)) for path in paths]
