"""How pictures look: colours that colour-blind readers tell apart, lines and markers that survive grey print.

Source of the colours: Okabe and Ito (2008), "Color universal design"; yellow is left out, which white paper swallows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["COLOURS", "GREY", "STYLE", "legend_below", "line_style", "log_axis"]

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Blue, vermillion, green, purple, orange, sky blue, black."""

GREY = "#6F6F6F"
_CHARACTERS_PER_INCH = 14
_HANDLE_CHARACTERS = 8
_FEW_DECADES = 300.0
_SMALLEST_PLAIN, _LARGEST_PLAIN = 1e-4, 1e5
_LINES: tuple[Any, ...] = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (8, 2)), (0, (1, 1)))
_MARKERS = ("o", "s", "^", "D", "v", "P", "X")

STYLE: Mapping[str, Any] = {
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.labelsize": 9,
    "axes.linewidth": 0.8,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 9,
    "figure.titlesize": 10,
    "font.size": 9,
    "grid.color": "#DDDDDD",
    "grid.linewidth": 0.6,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "lines.linewidth": 1.5,
    "lines.markersize": 4,
    "pdf.fonttype": 42,
    "svg.fonttype": "none",
    "svg.hashsalt": "bprune",
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
}
"""What differs from matplotlib's defaults; text stays text in SVG and PDF."""


def line_style(index: int, *, markers: bool = False) -> dict[str, Any]:
    """Colour, line and marker of one of several series; 49 differ."""
    line = _LINES[(index + index // len(COLOURS)) % len(_LINES)]
    chosen: dict[str, Any] = {"color": COLOURS[index % len(COLOURS)], "linestyle": line}
    if markers:
        chosen["marker"] = _MARKERS[index % len(_MARKERS)]
    return chosen


def legend_below(figure: Figure, axes: Axes) -> None:
    """The legend of the lines on some axes below all axes, in as many columns as fit."""
    handles, labels = axes.get_legend_handles_labels()
    room = int(figure.get_figwidth() * _CHARACTERS_PER_INCH)
    widest = max(len(label) for label in labels) + _HANDLE_CHARACTERS
    columns = max(1, min(len(labels), room // widest))
    figure.legend(handles, labels, loc="outside lower center", ncols=columns)


def log_axis(axes: Axes) -> None:
    """Make the horizontal axis of finished axes logarithmic, with plain numbers, and enough of them to read values."""
    from matplotlib.ticker import LogLocator, NullFormatter

    axes.set_xscale("log")
    low, high = axes.get_xlim()
    if high / low < _FEW_DECADES:
        axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.xaxis.set_minor_formatter(NullFormatter())
    if low >= _SMALLEST_PLAIN and high <= _LARGEST_PLAIN:
        axes.xaxis.set_major_formatter("{x:g}")
