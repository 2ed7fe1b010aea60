"""Figures and the files they go to. Nothing here or in a drawing function touches pyplot or leaves a setting behind."""

from __future__ import annotations

import contextlib
import functools
import importlib
import io
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bprune.atomic import write_bytes
from bprune.errors import MissingExtraError, OutputError, UsageError
from bprune.plots.style import STYLE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["DEFAULT_DPI", "FORMATS", "check_target", "draw_figure", "svg_text", "write_figure"]

DEFAULT_DPI = 150
_NOTEBOOK_DPI = 96
FORMATS = ("png", "svg", "pdf")
_NO_DATES: dict[str, dict[str, Any]] = {
    "png": {"Software": "bprune"},
    "svg": {"Date": None, "Creator": "bprune"},
    "pdf": {"CreationDate": None, "Creator": "bprune", "Producer": None},
}
"""What would differ from one run to the next is left out: the same data gives the same bytes."""

_LARGEST_INCHES = 100.0


def draw_figure(draw: Callable[[Figure], None], size: tuple[float, float], title: str | None = None) -> Figure:
    """A figure of its own with a picture on it.

    Args:
        draw: What fills the figure.
        size: Width and height in inches.
        title: A heading, or None.

    Raises:
        UsageError: If the size is not positive, or larger than 100 inches.
        MissingExtraError: If matplotlib is not installed.
    """
    if not all(0.5 <= side <= _LARGEST_INCHES for side in size):
        raise UsageError(f"the size {size[0]:g} x {size[1]:g} is not between 0.5 and {_LARGEST_INCHES:g} inches")
    with _style():
        from matplotlib.layout_engine import ConstrainedLayoutEngine

        figure = _figure_class()(figsize=size, layout=ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.06))
        draw(figure)
        if title:
            figure.suptitle(_literal(title))
        return figure


@functools.cache
def _figure_class() -> type[Figure]:
    """Figures that a notebook shows. Those of matplotlib are shown only where pyplot was imported before."""
    from matplotlib.figure import Figure

    class Picture(Figure):
        def _repr_png_(self) -> tuple[bytes, dict[str, int]]:
            width, height = (round(inches * _NOTEBOOK_DPI) for inches in self.get_size_inches())
            return _rendered(self, "png", DEFAULT_DPI), {"width": width, "height": height}

    return Picture


def check_target(path: Path, *, overwrite: bool = False) -> str:
    """The format of a file to be written; refuses a target before any work is done for it.

    Raises:
        UsageError: If the suffix is not one of `FORMATS`.
        OutputError: If the file exists and may not be replaced, or its folder does not exist.
        MissingExtraError: If matplotlib is not installed.
    """
    _require()
    suffix = path.suffix.lower().removeprefix(".")
    if suffix not in FORMATS:
        raise UsageError(
            f"{path} has the suffix {path.suffix or 'of no format'}; pictures are written as {', '.join(FORMATS)}",
            hint=f"For example --out {path.stem or 'picture'}.png",
        )
    if path.exists() and not overwrite:
        raise OutputError(
            f"{path} exists already and was left as it is",
            hint="Choose another name with --out, or pass --overwrite (overwrite=True in Python).",
        )
    if not path.absolute().parent.is_dir():
        raise OutputError(f"the folder {path.absolute().parent} does not exist", hint="Create it first.")
    return suffix


def write_figure(figure: Figure, path: Path, *, dpi: int = DEFAULT_DPI, overwrite: bool = False) -> None:
    """Write a figure as PNG, SVG or PDF, by the suffix; the file appears whole or not at all.

    Args:
        figure: The figure.
        path: The file to write.
        dpi: Dots per inch of PNG, and of images inside of the other formats.
        overwrite: Whether a file that is there already is replaced.

    Raises:
        UsageError: If the suffix is not one of `FORMATS`.
        OutputError: If the file exists and may not be replaced, or cannot be written.
    """
    suffix = check_target(path, overwrite=overwrite)
    write_bytes(path, _rendered(figure, suffix, dpi), overwrite=overwrite)


def svg_text(figure: Figure) -> str:
    """A figure as an `<svg>` element for an HTML page: no XML header, no names that clash with other figures'."""
    text = _rendered(figure, "svg", DEFAULT_DPI).decode("utf-8")
    return re.sub(r'<g id="[^"]*"', "<g", text[text.index("<svg") :]).strip()


def _rendered(figure: Figure, suffix: str, dpi: int) -> bytes:
    stream = io.BytesIO()
    with _style():
        figure.savefig(stream, format=suffix, dpi=dpi, metadata=_NO_DATES[suffix])
    return stream.getvalue()


def _require() -> None:
    """Refuse early where matplotlib is missing.

    Raises:
        MissingExtraError: If it is not installed.
    """
    try:
        importlib.import_module("matplotlib")
    except ImportError as error:
        raise MissingExtraError(
            "pictures need matplotlib, which is not installed", hint='Install it: pip install "bprune[plots]"'
        ) from error


@contextlib.contextmanager
def _style() -> Iterator[None]:
    """Matplotlib's defaults and `STYLE` whatever the user's own settings are, which come back behind the body."""
    _require()
    from matplotlib import style

    with style.context(["default", dict(STYLE)]):
        yield


def _literal(text: str) -> str:
    """Text without matplotlib's mathematics: a dollar in a file's name stays a dollar."""
    return text.replace("$", r"\$")
