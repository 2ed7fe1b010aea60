"""Pictures: each kind is a function to a plain value, and one that draws the value on a matplotlib figure."""

from __future__ import annotations

from bprune.plots.convergence import convergence_data
from bprune.plots.density import binned_density
from bprune.plots.figure import KINDS, figure_of
from bprune.plots.masks import masks_data
from bprune.plots.pdf import pdf_data
from bprune.plots.regression import regression_data
from bprune.plots.reliability import reliability_data
from bprune.plots.risk_coverage import Ranking, risk_coverage_data
from bprune.plots.save import DEFAULT_DPI, svg_text, write_figure
from bprune.plots.snr import SnrAxis, snr_data
from bprune.plots.sweep import SweepAxis, sweep_data
from bprune.plots.uncertainty import uncertainty_data

__all__ = [
    "DEFAULT_DPI",
    "KINDS",
    "Ranking",
    "SnrAxis",
    "SweepAxis",
    "binned_density",
    "convergence_data",
    "figure_of",
    "masks_data",
    "pdf_data",
    "regression_data",
    "reliability_data",
    "risk_coverage_data",
    "snr_data",
    "svg_text",
    "sweep_data",
    "uncertainty_data",
    "write_figure",
]
