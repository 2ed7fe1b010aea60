"""How much signal the weights carry: histogram and distribution of the SNR, per layer and of the whole network."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bprune.arrays import Float64Array
from bprune.cells import percent
from bprune.errors import UnsupportedError, UsageError
from bprune.plots.style import COLOURS, legend_below, line_style, log_axis
from bprune.posterior.posterior import Network
from bprune.posterior.snr import pooled_snr

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["SnrAxis", "SnrData", "SnrSeries", "draw_snr", "size_snr", "snr_data"]

_BINS = 60
_LEGIBLE = 6
"""Layers whose histograms can be told apart."""
_TAIL = 0.001
_DECADES = 5
"""Decades below the largest SNR that a logarithmic axis shows."""


class SnrAxis(enum.Enum):
    """The axis of the SNR."""

    LOG = "log"
    """The linear SNR on a logarithmic axis."""
    LINEAR = "linear"
    """The linear SNR; its largest values, often far away, are cut off."""
    DB = "db"
    """20 log10(SNR), decibel."""


@dataclass(frozen=True)
class SnrSeries:
    """The SNR of the weights of one layer, or of all.

    Attributes:
        name: The layer's name, or "all layers".
        weights: How many weights.
        zeros: Share of them with an SNR of exactly 0 (-inf dB), pruned before or with loc 0; in no bin, in [0, 1].
        below_threshold: Share of them with an SNR below the threshold, in [0, 1].
        shares: Share of the weights in each bin, `[bin]`, float64; what lies outside of the bins is missing.
        below: Share of the weights with an SNR below each edge, `[bin + 1]`, float64, rising.
    """

    name: str
    weights: int
    zeros: float
    below_threshold: float
    shares: Float64Array
    below: Float64Array


@dataclass(frozen=True)
class SnrData:
    """What the picture of the SNR shows.

    Attributes:
        axis: The kind of axis.
        edges: The edges of the bins in the axis's unit: linear SNR, or dB. `[bin + 1]`, float64, rising.
        threshold: The threshold, linear SNR.
        series: The layers, in order, and all layers together as the last.
    """

    axis: SnrAxis
    edges: Float64Array
    threshold: float
    series: tuple[SnrSeries, ...]


def snr_data(network: Network, threshold: float = 10.0, axis: SnrAxis = SnrAxis.LOG) -> SnrData:
    """Count the weights of each layer by their SNR.

    Args:
        network: The posteriors of a case.
        threshold: Linear SNR; weights below would be pruned.
        axis: The kind of axis.

    Raises:
        UsageError: If the threshold is not a number of at least 0.
        UnsupportedError: If the network has no recognised posterior, or no weight with an SNR above 0.
    """
    if not 0.0 <= threshold < np.inf:
        raise UsageError(f"the threshold is {threshold}; it must be a number of at least 0")
    layers = {name: pooled_snr(network.of_layer(name)) for name in network.layers}
    layers["all layers"] = pooled_snr(network.posteriors)
    positive = layers["all layers"][layers["all layers"] > 0.0]
    if not positive.size:
        raise UnsupportedError(
            "the network has no weight with an SNR above 0, so there is nothing to show",
            hint="bprune inspect says which layers have a posterior, and which weights were pruned before.",
        )
    edges = _edges(positive, threshold, axis)
    return SnrData(
        axis,
        _decibel(edges) if axis is SnrAxis.DB else edges,
        threshold,
        tuple(_series(name, snr, edges, threshold) for name, snr in layers.items()),
    )


def _edges(positive: Float64Array, threshold: float, axis: SnrAxis) -> Float64Array:
    """The edges of the bins as linear SNR."""
    if axis is SnrAxis.LINEAR:
        top = max(float(np.quantile(positive, 1.0 - 10 * _TAIL)), 1.2 * threshold)
        return np.linspace(0.0, top, _BINS + 1)
    high = float(positive.max()) * 1.01
    low = max(float(np.quantile(positive, _TAIL, method="lower")), high * 10.0**-_DECADES)
    if threshold > 0.0:
        low, high = min(low, threshold / 1.5), max(high, threshold * 1.5)
    return np.geomspace(low, high, _BINS + 1)


def _series(name: str, snr: Float64Array, edges: Float64Array, threshold: float) -> SnrSeries:
    ordered = np.sort(snr)
    counts = np.histogram(ordered[ordered > 0.0], edges)[0]
    return SnrSeries(
        name,
        int(snr.size),
        float(np.mean(snr == 0.0)),
        float(np.mean(snr < threshold)),
        counts / snr.size,
        np.searchsorted(ordered, edges, side="left") / snr.size,
    )


def _decibel(snr: Float64Array) -> Float64Array:
    return np.asarray(20.0 * np.log10(snr))


def size_snr(data: SnrData) -> tuple[float, float]:
    """Width and height that suit the data, inches."""
    return 8.0, 3.3 + 0.17 * ((len(data.series) + 2) // 3)


def draw_snr(data: SnrData, figure: Figure) -> None:
    """Draw the histogram beside the distribution; of many layers the histogram shows the whole alone."""
    histogram, distribution = figure.subplots(1, 2)
    *layers, total = data.series
    histogram.stairs(total.shares, data.edges, fill=True, color="#DDDDDD")
    distribution.plot(data.edges, total.below, color="#AAAAAA", linewidth=4.0, label=_label(total))
    for index, layer in enumerate(layers):
        style = line_style(index)
        distribution.plot(data.edges, layer.below, label=_label(layer), **style)
        if len(layers) <= _LEGIBLE:
            histogram.stairs(layer.shares, data.edges, linewidth=1.5, **style)
    histogram.set_ylabel("share of weights per bin")
    distribution.set_ylabel("share of weights below")
    distribution.set_ylim(0.0, 1.01)
    histogram.set_ylim(bottom=0.0)
    for axes in (histogram, distribution):
        _draw_axis(data, axes)
    distribution.set_title(f"threshold {data.threshold:g}: {percent(total.below_threshold)} below")
    legend_below(figure, distribution)


def _label(series: SnrSeries) -> str:
    zeros = f", {percent(series.zeros)} are 0" if series.zeros else ""
    return f"{series.name} ({series.weights:,}{zeros})"


def _draw_axis(data: SnrData, axes: Axes) -> None:
    if data.axis is SnrAxis.LOG:
        axes.set_xlim(data.edges[0], data.edges[-1])
        log_axis(axes)
    axes.set_xlim(data.edges[0], data.edges[-1])
    axes.set_xlabel("SNR |loc| / scale [dB]" if data.axis is SnrAxis.DB else "SNR |loc| / scale")
    where = _place(data)
    if data.edges[0] <= where <= data.edges[-1]:
        axes.axvline(where, color=COLOURS[-1], linewidth=1.2, linestyle=(0, (3, 2)))


def _place(data: SnrData) -> float:
    if data.axis is SnrAxis.DB:
        return 20.0 * float(np.log10(data.threshold)) if data.threshold else -np.inf
    return data.threshold
