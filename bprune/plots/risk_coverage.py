"""What is gained by leaving out the least certain predictions: risk (share of errors) against coverage.

Source: El-Yaniv and Wiener (2010), "On the foundations of noise-free selective classification"; Geifman and El-Yaniv
(2017), "Selective classification for deep neural networks".
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bprune.arrays import Float64Array
from bprune.inference.statistics import ClassificationSummary
from bprune.plots.requirements import classification, known_labels, same_examples, series_names
from bprune.plots.style import legend_below, line_style
from bprune.results.read import Results

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "Ranking",
    "RiskCoverageCurve",
    "RiskCoverageData",
    "draw_risk_coverage",
    "risk_coverage_data",
    "size_risk_coverage",
]


class Ranking(enum.Enum):
    """What says how certain a prediction is."""

    CONFIDENCE = "confidence"
    """The largest mean probability."""
    ENTROPY = "entropy"
    """The predictive entropy; smaller is more certain."""
    MUTUAL_INFORMATION = "mutual-information"
    """The mutual information; smaller is more certain."""


@dataclass(frozen=True)
class RiskCoverageCurve:
    """The course of one file.

    Attributes:
        name: What tells the file apart.
        coverage: Share of the predictions that are kept, most certain first, `[example]`, float64, in (0, 1].
        risk: Share of errors among them, `[example]`, float64; predictions that are equally certain come in random
            order, of which this is the mean.
        aurc: The mean of `risk`, the area under the curve; by confidence, that of `bprune.metrics.aurc`.
    """

    name: str
    coverage: Float64Array
    risk: Float64Array
    aurc: float


@dataclass(frozen=True)
class RiskCoverageData:
    """What the picture of risk and coverage shows."""

    ranking: Ranking
    curves: tuple[RiskCoverageCurve, ...]


def risk_coverage_data(
    files: Sequence[Results], ranking: Ranking = Ranking.CONFIDENCE, names: Sequence[str] = ()
) -> RiskCoverageData:
    """Order the predictions by certainty and count errors.

    Args:
        files: Results of the same examples.
        ranking: What says how certain a prediction is.
        names: What tells the files apart; see `series_names`.

    Raises:
        UnsupportedError: If a file is of a regression.
        InputError: If a file has no labels, or the files are of different examples.
        UsageError: If there is not one name for each file.
    """
    same_examples(files)
    names = series_names(files, names)
    return RiskCoverageData(
        ranking, tuple(_curve(item, ranking, name) for item, name in zip(files, names, strict=True))
    )


def _curve(results: Results, ranking: Ranking, name: str) -> RiskCoverageCurve:
    summary = classification(results, "risk-coverage")
    wrong = summary.mean.argmax(axis=1) != known_labels(results, "risk-coverage")
    _, group, sizes = np.unique(_doubt(summary, ranking), return_inverse=True, return_counts=True)
    group = group.reshape(-1)
    expected = np.bincount(group, wrong) / sizes
    errors = np.cumsum(np.repeat(expected, sizes))
    count = np.arange(1, len(wrong) + 1)
    risk = errors / count
    return RiskCoverageCurve(name, count / len(wrong), risk, float(risk.mean()))


def _doubt(summary: ClassificationSummary, ranking: Ranking) -> Float64Array:
    """What is small where a prediction is certain, `[example]`."""
    if ranking is Ranking.CONFIDENCE:
        return np.asarray(-summary.mean.max(axis=1), np.float64)
    values = summary.predictive_entropy if ranking is Ranking.ENTROPY else summary.mutual_information
    return np.asarray(values, np.float64)


def size_risk_coverage(data: RiskCoverageData) -> tuple[float, float]:
    """Width and height that suit the data, inches."""
    return 4.8, 3.3 + 0.17 * len(data.curves)


def draw_risk_coverage(data: RiskCoverageData, figure: Figure) -> None:
    """Draw the curves."""
    axes = figure.subplots()
    for index, curve in enumerate(data.curves):
        axes.plot(curve.coverage, curve.risk, label=f"{curve.name}: AURC {curve.aurc:.2g}", **line_style(index))
    axes.set_xlim(0.0, 1.0)
    axes.set_ylim(bottom=-0.03 * axes.get_ylim()[1])  # so that a risk of 0 is seen
    axes.set_xlabel(f"coverage (most certain first, by {data.ranking.value.replace('-', ' ')})")
    axes.set_ylabel("risk (share of errors)")
    legend_below(figure, axes)
