"""Whether uncertainty tells right from wrong predictions: histograms of entropy and mutual information of both."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import rankdata

from bprune.arrays import BoolArray, Float64Array
from bprune.errors import InputError
from bprune.plots.requirements import classification, known_labels
from bprune.plots.style import COLOURS
from bprune.results.read import Results

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["UncertaintyData", "UncertaintyPanel", "draw_uncertainty", "size_uncertainty", "uncertainty_data"]

_BINS = 25


@dataclass(frozen=True)
class UncertaintyPanel:
    """One measure of uncertainty.

    Attributes:
        title: The measure.
        edges: The edges of the bins, `[bin + 1]`, float64, nats.
        right: Share of the right predictions in each bin, `[bin]`, float64, sums to 1.
        wrong: Share of the wrong ones, `[bin]`, float64, sums to 1.
        auroc: Probability that a wrong prediction is more uncertain than a right one, in [0, 1]; ties count half.
    """

    title: str
    edges: Float64Array
    right: Float64Array
    wrong: Float64Array
    auroc: float


@dataclass(frozen=True)
class UncertaintyData:
    """What the picture of uncertainty shows.

    Attributes:
        right: Number of right predictions.
        wrong: Number of wrong predictions.
        panels: The measures.
    """

    right: int
    wrong: int
    panels: tuple[UncertaintyPanel, ...]


def uncertainty_data(results: Results) -> UncertaintyData:
    """Count right and wrong predictions by predictive entropy and by mutual information.

    Raises:
        UnsupportedError: If the file is of a regression.
        InputError: If it has no labels, or all predictions are right or all are wrong.
    """
    summary = classification(results, "uncertainty")
    right: BoolArray = summary.mean.argmax(axis=1) == known_labels(results, "uncertainty")
    if right.all() or not right.any():
        raise InputError(
            f"all {len(right)} predictions in {results.path} are {'right' if right.all() else 'wrong'}, "
            "so there is nothing to compare",
            hint="Run bprune infer on more examples, or on harder ones.",
        )
    measures = {
        "predictive entropy": summary.predictive_entropy,
        "mutual information": summary.mutual_information,
    }
    panels = tuple(_panel(title, np.asarray(values, np.float64), right) for title, values in measures.items())
    return UncertaintyData(int(right.sum()), int((~right).sum()), panels)


def _panel(title: str, values: Float64Array, right: BoolArray) -> UncertaintyPanel:
    edges = np.linspace(0.0, max(float(values.max()), 1e-6), _BINS + 1)
    shares = [np.histogram(values[chosen], edges)[0] / chosen.sum() for chosen in (right, ~right)]
    ranks = rankdata(values)
    wrong = int((~right).sum())
    above = float(ranks[~right].sum()) - wrong * (wrong + 1) / 2.0
    return UncertaintyPanel(title, edges, shares[0], shares[1], above / (wrong * (len(right) - wrong)))


def size_uncertainty(data: UncertaintyData) -> tuple[float, float]:
    """Width and height that suit the data, inches."""
    return 3.8 * len(data.panels), 3.1


def draw_uncertainty(data: UncertaintyData, figure: Figure) -> None:
    """Draw a panel for each measure."""
    panels = figure.subplots(1, len(data.panels), squeeze=False)[0]
    for axes, panel in zip(panels, data.panels, strict=True):
        axes.stairs(panel.right, panel.edges, fill=True, color=COLOURS[0], alpha=0.45, label=f"right ({data.right:,})")
        axes.stairs(panel.wrong, panel.edges, color=COLOURS[1], linewidth=1.8, label=f"wrong ({data.wrong:,})")
        axes.set_xlabel(f"{panel.title} [nat]")
        axes.set_xlim(panel.edges[0], 1.02 * panel.edges[-1])
        axes.set_ylim(bottom=0.0)
        axes.set_title(f"AUROC of wrong against right: {panel.auroc:.3f}")
        axes.legend()
    panels[0].set_ylabel("share of predictions per bin")
