"""From the data of a picture to the picture: which drawing belongs to which data, in one table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bprune.plots.convergence import ConvergenceData, draw_convergence, size_convergence
from bprune.plots.masks import MasksData, draw_masks, size_masks
from bprune.plots.pdf import PdfData, draw_pdf, size_pdf
from bprune.plots.regression import RegressionData, draw_regression, size_regression
from bprune.plots.reliability import ReliabilityData, draw_reliability, size_reliability
from bprune.plots.risk_coverage import RiskCoverageData, draw_risk_coverage, size_risk_coverage
from bprune.plots.save import draw_figure
from bprune.plots.snr import SnrData, draw_snr, size_snr
from bprune.plots.sweep import SweepData, draw_sweep, size_sweep
from bprune.plots.uncertainty import UncertaintyData, draw_uncertainty, size_uncertainty

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["KINDS", "Kind", "figure_of"]


@dataclass(frozen=True)
class Kind:
    """A kind of picture.

    Attributes:
        name: Its name on the command line.
        draw: Fills a figure with the data.
        size: Width and height that suit the data, inches.
    """

    name: str
    draw: Callable[[Any, Figure], None]
    size: Callable[[Any], tuple[float, float]]


KINDS: Mapping[type, Kind] = {
    SnrData: Kind("snr", draw_snr, size_snr),
    SweepData: Kind("sweep", draw_sweep, size_sweep),
    PdfData: Kind("pdf", draw_pdf, size_pdf),
    ConvergenceData: Kind("convergence", draw_convergence, size_convergence),
    ReliabilityData: Kind("reliability", draw_reliability, size_reliability),
    RiskCoverageData: Kind("risk-coverage", draw_risk_coverage, size_risk_coverage),
    UncertaintyData: Kind("uncertainty", draw_uncertainty, size_uncertainty),
    MasksData: Kind("masks", draw_masks, size_masks),
    RegressionData: Kind("regression", draw_regression, size_regression),
}
"""The kinds of pictures by the type of their data."""


def figure_of(data: object, *, size: tuple[float, float] | None = None, title: str | None = None) -> Figure:
    """Draw the picture of some data.

    Args:
        data: What one of the `..._data` functions returned.
        size: Width and height in inches; what suits the data when None.
        title: A heading, or None.

    Raises:
        TypeError: If there is no picture of such data.
        UsageError: If the size cannot be drawn.
        MissingExtraError: If matplotlib is not installed.

    Example:
        >>> write_figure(figure_of(snr_data(network)), Path("snr.svg"))
    """
    if type(data) not in KINDS:
        raise TypeError(f"there is no picture of {type(data).__name__}")
    kind = KINDS[type(data)]
    return draw_figure(lambda figure: kind.draw(data, figure), size or kind.size(data), title)
