"""Whether confidence is deserved: accuracy against confidence in 15 bins, and how often each confidence occurs.

Source: Guo et al. (2017), "On calibration of modern neural networks", figure 1 and equation 3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bprune.arrays import Float64Array, IntArray
from bprune.metrics.bins import BINS, equal_width_bins
from bprune.metrics.calibration import ECE
from bprune.metrics.predictions import ClassPredictions
from bprune.plots.requirements import classification, known_labels, same_examples, series_names
from bprune.plots.style import GREY, legend_below, line_style
from bprune.results.read import Results

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["ReliabilityCurve", "ReliabilityData", "draw_reliability", "reliability_data", "size_reliability"]


@dataclass(frozen=True)
class ReliabilityCurve:
    """The calibration of one file.

    Attributes:
        name: What tells the file apart.
        counts: Predictions with a confidence in each bin, `[bin]`, int64.
        confidence: Their mean confidence, `[bin]`, float64; NaN where there is none.
        accuracy: Share of them that are right, `[bin]`, float64; NaN where there is none.
        stderr: Standard error of that share, with one success and one failure more so that no bin claims certainty,
            `[bin]`, float64; NaN where there is none.
        ece: Expected calibration error, of `bprune.metrics.calibration`.
    """

    name: str
    counts: IntArray
    confidence: Float64Array
    accuracy: Float64Array
    stderr: Float64Array
    ece: float


@dataclass(frozen=True)
class ReliabilityData:
    """What the reliability diagram shows.

    Attributes:
        edges: The edges of the bins of confidence, `[bin + 1]`, float64.
        curves: The files.
    """

    edges: Float64Array
    curves: tuple[ReliabilityCurve, ...]


def reliability_data(files: Sequence[Results], names: Sequence[str] = ()) -> ReliabilityData:
    """Bin the predictions by confidence, the largest mean probability: 15 bins of equal width, [low, high).

    Args:
        files: Results of the same examples.
        names: What tells the files apart; see `series_names`.

    Raises:
        UnsupportedError: If a file is of a regression.
        InputError: If a file has no labels, or the files are of different examples.
        UsageError: If there is not one name for each file.
    """
    same_examples(files)
    names = series_names(files, names)
    curves = tuple(_curve(item, name) for item, name in zip(files, names, strict=True))
    return ReliabilityData(np.linspace(0.0, 1.0, BINS + 1), curves)


def _curve(results: Results, name: str) -> ReliabilityCurve:
    summary = classification(results, "reliability")
    mean = summary.mean
    labels = known_labels(results, "reliability")
    confidence = mean.max(axis=1)
    hits = mean.argmax(axis=1) == labels
    index = np.minimum(equal_width_bins(confidence), BINS - 1)  # a confidence of exactly 1 is shown in the last bin
    counts = np.bincount(index, minlength=BINS)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean_confidence = np.bincount(index, confidence.astype(np.float64), BINS) / counts
        right = np.bincount(index, hits, BINS)
        accuracy = right / counts
        smoothed = (right + 1.0) / (counts + 2.0)
        stderr = np.where(counts > 0, np.sqrt(smoothed * (1.0 - smoothed) / counts), np.nan)
    ece = ECE.value(ClassPredictions(mean, summary.expected_entropy), labels)
    return ReliabilityCurve(name, counts, mean_confidence, accuracy, stderr, ece)


def size_reliability(data: ReliabilityData) -> tuple[float, float]:
    """Width and height that suit the data, inches."""
    return 4.6, 5.0 + 0.17 * len(data.curves)


def draw_reliability(data: ReliabilityData, figure: Figure) -> None:
    """Draw accuracy against confidence, with bars of one standard error, above the histogram of confidence."""
    diagram, histogram = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    diagram.plot([0.0, 1.0], [0.0, 1.0], color=GREY, linestyle="--", linewidth=1.0, label="perfect calibration")
    for index, curve in enumerate(data.curves):
        style = line_style(index, markers=True)
        shown = curve.counts > 0
        label = f"{curve.name}: ECE {curve.ece:.4f}"
        diagram.errorbar(
            curve.confidence[shown],
            curve.accuracy[shown],
            curve.stderr[shown],
            elinewidth=0.8,
            capsize=2,
            label=label,
            **style,
        )
        shares = curve.counts / curve.counts.sum()
        filled = len(data.curves) == 1
        histogram.stairs(
            shares, data.edges, fill=filled, color=style["color"], linestyle=style["linestyle"], linewidth=1.5
        )
    diagram.set_ylabel("accuracy")
    diagram.set_ylim(-0.02, 1.02)
    diagram.set_xlim(0.0, 1.0)
    legend_below(figure, diagram)
    histogram.set_xlabel("confidence (largest mean probability)")
    histogram.set_ylabel("share of\npredictions")
