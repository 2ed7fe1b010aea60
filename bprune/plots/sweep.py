"""What pruning costs: metrics against the share of pruned weights, several sweeps laid over each other.

Source: Sharma and Jennings (2020), figure 8.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bprune.arrays import Float64Array
from bprune.cells import percent
from bprune.errors import InputError, UsageError
from bprune.judgement.sweep import NOT_LOWERED, Sweep, SweepPoint
from bprune.metrics.estimate import Estimate
from bprune.plots.style import COLOURS, GREY, legend_below, line_style, log_axis
from bprune.plots.titles import metric_title

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["SweepAxis", "SweepCurve", "SweepData", "SweepPanel", "draw_sweep", "size_sweep", "sweep_data"]

_Z = 1.96
_SIZES = {"multiply_adds": "multiply-adds per example and draw", "draw_us": "time per example and draw [us]"}
_USUAL = {"classification": ("accuracy", "nll"), "regression": ("rmse", "nll")}
_COLUMNS = 3


class SweepAxis(enum.Enum):
    """What runs along the horizontal axis."""

    SPARSITY = "sparsity"
    """The share of the prunable weights that are pruned."""
    THRESHOLD = "threshold"
    """The threshold of the criterion, on a logarithmic axis; points without a threshold above 0 are left out."""


@dataclass(frozen=True)
class SweepCurve:
    """One quantity of one sweep.

    Attributes:
        name: What tells the sweep apart.
        places: Where the points are on the horizontal axis, `[point]`, float64, rising.
        values: The quantity, `[point]`, float64.
        stderr: Its standard error, `[point]`, float64; NaN where it has none. Of a metric itself that of finite draws;
            of a difference to the whole network, paired, of finite draws and examples.
        whole: The quantity of the whole network.
    """

    name: str
    places: Float64Array
    values: Float64Array
    stderr: Float64Array
    whole: float


@dataclass(frozen=True)
class SweepPanel:
    """One quantity of all sweeps.

    Attributes:
        metric: Its name in the sweep.
        title: What it is, with its unit.
        curves: The sweeps.
    """

    metric: str
    title: str
    curves: tuple[SweepCurve, ...]


@dataclass(frozen=True)
class SweepData:
    """What the picture of a sweep shows.

    Attributes:
        axis: What runs along the horizontal axis.
        unit: The unit of the thresholds, where they are the axis.
        difference: Whether values are differences to the whole network.
        panels: The quantities.
        chosen: A place on the horizontal axis that is marked: the pruning that was chosen; None for no mark.
    """

    axis: SweepAxis
    unit: str
    difference: bool
    panels: tuple[SweepPanel, ...]
    chosen: float | None = None


def sweep_data(
    sweeps: Sequence[Sweep],
    metrics: Sequence[str] = (),
    *,
    axis: SweepAxis = SweepAxis.SPARSITY,
    difference: bool = False,
    names: Sequence[str] = (),
    chosen: float | None = None,
) -> SweepData:
    """Take the curves of some quantities out of sweeps.

    Args:
        sweeps: The sweeps.
        metrics: Names of metrics, multiply_adds or draw_us; none for accuracy (or RMSE) and NLL.
        axis: What runs along the horizontal axis.
        difference: Whether to show differences to the whole network of each sweep; of metrics alone.
        names: What tells the sweeps apart; where none are given, what differs: case, criterion, scope, draws.
        chosen: The sparsity or threshold that was chosen, to be marked.

    Raises:
        UsageError: If there is no sweep, not one name for each, or a metric is not in a sweep.
        InputError: If the sweeps are of different tasks, their thresholds have different units, or a quantity was not
            measured.
    """
    if not sweeps:
        raise UsageError("give at least one sweep")
    _check_alike(sweeps, axis)
    names = _names(sweeps, names)
    shown = tuple(dict.fromkeys(metrics)) or tuple(
        name for name in _USUAL[sweeps[0].task] if all(name in sweep.metric_names for sweep in sweeps)
    )
    panels = []
    for metric in shown:
        curves = [_curve(item, name, metric, axis, difference) for item, name in zip(sweeps, names, strict=True)]
        panels.append(SweepPanel(metric, _title(sweeps[0], metric, difference), tuple(curves)))
    return SweepData(axis, sweeps[0].unit, difference, tuple(panels), chosen)


def _check_alike(sweeps: Sequence[Sweep], axis: SweepAxis) -> None:
    tasks = {sweep.task for sweep in sweeps}
    if len(tasks) > 1:
        raise InputError(f"the sweeps are of different tasks: {', '.join(sorted(tasks))}; one picture shows one task")
    units = {sweep.unit for sweep in sweeps}
    if axis is SweepAxis.THRESHOLD and len(units) > 1:
        raise InputError(
            f"the thresholds have different units: {', '.join(sorted(units))}",
            hint="Show the sweeps against sparsity, which all criteria share.",
        )


def _names(sweeps: Sequence[Sweep], names: Sequence[str]) -> tuple[str, ...]:
    if names:
        if len(names) != len(sweeps):
            raise UsageError(f"{len(names)} names came for {len(sweeps)} sweeps; give one for each, or none")
        return tuple(names)
    columns = [
        [sweep.case for sweep in sweeps],
        [sweep.criterion for sweep in sweeps],
        [f"{'within layers' if sweep.scope == 'layer' else 'global'}" for sweep in sweeps],
        [f"{sweep.mc_iters} draws" for sweep in sweeps],
        [f"seed {sweep.seed}" for sweep in sweeps],
        [f"sweep {number}" for number in range(1, len(sweeps) + 1)],
    ]
    told = [column for column in columns[:-1] if len(set(column)) > 1]
    made = [", ".join(parts) for parts in zip(*told, strict=True)] if told else [sweeps[0].criterion] * len(sweeps)
    return tuple(made if len(set(made)) == len(made) else columns[-1])


def _title(sweep: Sweep, metric: str, difference: bool) -> str:
    title = _SIZES.get(metric) or metric_title(sweep.task, metric)
    return f"change of {title}" if difference else title


def _curve(sweep: Sweep, name: str, metric: str, axis: SweepAxis, difference: bool) -> SweepCurve:
    _check_metric(sweep, metric, difference)
    estimates = [_estimate(point, metric, difference) for point in sweep.points]
    places = [point.sparsity if axis is SweepAxis.SPARSITY else point.threshold for point in sweep.points]
    shown = np.array([math.isfinite(place) and (axis is SweepAxis.SPARSITY or place > 0.0) for place in places])
    if not shown.any():
        raise InputError(f"the sweep {name} has no threshold above 0", hint="Show it against sparsity, the default.")
    values = np.array([item.value for item in estimates])
    stderr = np.array([item.stderr if difference else item.mc_stderr for item in estimates])
    return SweepCurve(name, np.array(places, np.float64)[shown], values[shown], stderr[shown], float(values[0]))


def _check_metric(sweep: Sweep, metric: str, difference: bool) -> None:
    known = sweep.metric_names if difference else (*sweep.metric_names, *_SIZES)
    if metric not in known:
        raise UsageError(f"the sweep has no {metric!r} to show", hint=f"It has: {', '.join(known)}.")
    missing = {
        "multiply_adds": any(point.multiply_adds == NOT_LOWERED for point in sweep.points),
        "draw_us": all(math.isnan(point.draw_us) for point in sweep.points),
    }
    if missing.get(metric):
        raise InputError(f"the sweep of {sweep.case} did not measure {metric}", hint="Choose another --metric.")


def _estimate(point: SweepPoint, metric: str, difference: bool) -> Estimate:
    if metric in _SIZES:
        return Estimate(float(getattr(point, metric)))
    return (point.differences if difference else point.metrics)[metric]


def size_sweep(data: SweepData) -> tuple[float, float]:
    """Width and height that suit the data, inches."""
    columns = _columns(data)
    return max(4.6, 3.8 * columns), 2.9 * -(-len(data.panels) // columns) + 0.45


def _columns(data: SweepData) -> int:
    count = len(data.panels)
    return count if count <= _COLUMNS else 2 if count == 4 else _COLUMNS


def draw_sweep(data: SweepData, figure: Figure) -> None:
    """Draw a panel for each quantity, with bands of 95 % around the curves."""
    columns = _columns(data)
    panels = figure.subplots(-(-len(data.panels) // columns), columns, squeeze=False).reshape(-1)
    for axes, panel in zip(panels, data.panels, strict=False):
        _draw_panel(data, panel, axes)
    for axes in panels[len(data.panels) :]:
        axes.set_axis_off()
    legend_below(figure, panels[0])


def _draw_panel(data: SweepData, panel: SweepPanel, axes: Axes) -> None:
    share = data.axis is SweepAxis.SPARSITY
    for index, curve in enumerate(panel.curves):
        style = line_style(index, markers=True)
        places = 100.0 * curve.places if share else curve.places
        axes.axhline(curve.whole, color=GREY, linewidth=0.8, linestyle=(0, (1, 2)), zorder=0)
        low, high = curve.values - _Z * curve.stderr, curve.values + _Z * curve.stderr
        axes.fill_between(places, low, high, color=style["color"], alpha=0.2, linewidth=0)
        axes.plot(places, curve.values, label=curve.name, **style)
    if data.chosen is not None:
        place, told = (100.0 * data.chosen, percent(data.chosen)) if share else (data.chosen, f"{data.chosen:.4g}")
        axes.axvline(place, color=COLOURS[-1], linewidth=1.2, linestyle=(0, (3, 2)), label=f"chosen: {told}")
    if not share:
        log_axis(axes)
    axes.set_xlabel("pruned weights [%]" if share else f"threshold [{data.unit}]")
    axes.set_title(panel.title)
    if panel.metric in _SIZES:
        axes.set_ylim(bottom=0.0)
