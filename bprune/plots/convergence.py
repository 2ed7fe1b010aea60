"""How means and metrics settle with the number of draws: how many draws are enough."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bprune.arrays import AnyArray, Float64Array, IntArray
from bprune.case.task import Task
from bprune.errors import InputError, UsageError
from bprune.plots.requirements import check_examples, known_labels, same_examples, series_names, stored_draws
from bprune.plots.style import legend_below, line_style, log_axis
from bprune.results.read import Results

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["ConvergenceCurve", "ConvergenceData", "convergence_data", "draw_convergence", "size_convergence"]

_POINTS = 60
_BLOCKS = 20
_CHUNK_BYTES = 64 * 2**20
_TINY = float(np.finfo(np.float32).tiny)
_Z = 1.96
_FEW_DRAWS = 5


@dataclass(frozen=True)
class ConvergenceCurve:
    """One quantity of one file.

    Attributes:
        name: What tells the file apart.
        draws: Numbers of draws, `[point]`, int64, rising.
        values: The quantity made of so many first draws, `[point]`, float64.
        mc_stderr: Its MC standard error, `[point]`, float64; NaN where there are too few draws.
    """

    name: str
    draws: IntArray
    values: Float64Array
    mc_stderr: Float64Array


@dataclass(frozen=True)
class ConvergenceData:
    """What the picture of convergence shows: for each quantity a curve of each file."""

    panels: Mapping[str, tuple[ConvergenceCurve, ...]]


def convergence_data(
    files: Sequence[Results],
    example: int | None = None,
    output: int | None = None,
    metrics: Sequence[str] = (),
    names: Sequence[str] = (),
) -> ConvergenceData:
    """Follow the mean of one example, and metrics of all, with the number of draws.

    The MC standard error of the mean is s / sqrt(draws), for antithetic pairs that of pair means; of a metric it is the
    delete-one-block jackknife over 20 blocks of consecutive draws, since all examples may share the weights of a draw.

    Args:
        files: Results of the same examples with their draws.
        example: Which example; None for the one with the largest MC standard error in the first file.
        output: Which class or output of it; None for the one with the largest MC standard error.
        metrics: accuracy, nll and brier of classifications, rmse of regressions; none for the usual ones.
        names: What tells the files apart; see `series_names`.

    Raises:
        InputError: If a file keeps the summary alone, its examples differ in their number of draws, labels are missing
            for metrics that were asked for, or the files are of different examples.
        UsageError: If an example, output or metric does not exist, or there is not one name for each file.
    """
    same_examples(files)
    names = series_names(files, names)
    for item in files:
        _check_draws(item)
    chosen = _metrics(files[0], metrics)
    example, output = _place(files[0], example, output)
    what = "probability of class" if files[0].task is Task.CLASSIFICATION else "output"
    panels = {f"example {example}: mean {what} {output}": _means(files, names, example, output)}
    if chosen:
        curves = [_metric_curves(item, name, chosen) for item, name in zip(files, names, strict=True)]
        panels |= {METRICS[metric].title: tuple(item[metric] for item in curves) for metric in chosen}
    return ConvergenceData(panels)


@dataclass(frozen=True)
class _Metric:
    """A metric that is a function of the mean over examples of something that each example has."""

    title: str
    task: Task
    of_example: Callable[[Float64Array, AnyArray], Float64Array]
    of_mean: Callable[[Float64Array], Float64Array] = lambda mean: mean


def _of_class(mean: Float64Array, labels: AnyArray) -> Float64Array:
    return np.asarray(
        np.take_along_axis(mean, np.broadcast_to(labels[:, None], (len(mean), len(labels), 1)), -1)[..., 0]
    )


def _hit(mean: Float64Array, labels: AnyArray) -> Float64Array:
    return np.asarray(mean.argmax(-1) == labels, np.float64)


def _nll(mean: Float64Array, labels: AnyArray) -> Float64Array:
    return np.asarray(-np.log(np.maximum(_of_class(mean, labels), _TINY)))


def _brier(mean: Float64Array, labels: AnyArray) -> Float64Array:
    return np.asarray(np.square(mean).sum(-1) - 2.0 * _of_class(mean, labels) + 1.0)


def _squared_error(mean: Float64Array, labels: AnyArray) -> Float64Array:
    return np.asarray(np.square(mean - labels).mean(-1))


METRICS: Mapping[str, _Metric] = {
    "accuracy": _Metric("accuracy", Task.CLASSIFICATION, _hit),
    "nll": _Metric("NLL [nat]", Task.CLASSIFICATION, _nll),
    "brier": _Metric("Brier score", Task.CLASSIFICATION, _brier),
    "rmse": _Metric("RMSE", Task.REGRESSION, _squared_error, np.sqrt),
}
_USUAL = {Task.CLASSIFICATION: ("accuracy", "nll"), Task.REGRESSION: ("rmse",)}


def _metrics(results: Results, metrics: Sequence[str]) -> tuple[str, ...]:
    if not metrics:
        return _USUAL[results.task] if results.labels is not None else ()
    known_labels(results, "convergence of a metric")
    fitting = [name for name, metric in METRICS.items() if metric.task is results.task]
    for metric in metrics:
        if metric not in fitting:
            raise UsageError(
                f"the metric {metric} is none of a {results.task.value}", hint=f"Give one of: {', '.join(fitting)}."
            )
    return tuple(dict.fromkeys(metrics))


def _check_draws(results: Results) -> None:
    if results.draws_made.min() < results.run.mc_iters:
        raise InputError(
            f"{results.path} has other numbers of draws for other examples, so there is no common course",
            hint="Run bprune infer with a fixed --mc-iters.",
        )


def _place(results: Results, example: int | None, output: int | None) -> tuple[int, int]:
    stderr = results.summary.mc_stderr
    if example is None:
        example = int(stderr.max(axis=1).argmax())
    check_examples(results, [example])
    if output is None:
        output = int(stderr[example].argmax())
    if not 0 <= output < stderr.shape[1]:
        raise UsageError(f"there is no class or output {output}; the network has {stderr.shape[1]}")
    return example, output


def _unit(results: Results) -> int:
    """Draws that belong together."""
    return 2 if results.run.antithetic else 1


def _points(results: Results) -> IntArray:
    """Numbers of draws that a logarithmic axis shows evenly, the last included; whole pairs."""
    unit = _unit(results)
    most = results.run.mc_iters // unit
    return np.asarray(np.unique(np.geomspace(1, most, _POINTS).round().astype(np.int64)) * unit)


def _means(files: Sequence[Results], names: Sequence[str], example: int, output: int) -> tuple[ConvergenceCurve, ...]:
    curves = []
    for item, name in zip(files, names, strict=True):
        series = stored_draws(item, slice(example, example + 1)).values[:, 0, output].astype(np.float64)
        curves.append(_mean_curve(name, series, _points(item), _unit(item)))
    return tuple(curves)


def _mean_curve(name: str, series: Float64Array, draws: IntArray, unit: int) -> ConvergenceCurve:
    units = series[: len(series) // unit * unit].reshape(-1, unit).mean(axis=1)
    centre = units.mean()
    count = draws // unit
    first = np.cumsum(units - centre)[count - 1]
    second = np.cumsum((units - centre) ** 2)[count - 1]
    with np.errstate(invalid="ignore", divide="ignore"):
        variance = np.maximum(second - first**2 / count, 0.0) / (count - 1)
        stderr = np.where(count > 1, np.sqrt(variance / count), np.nan)
    return ConvergenceCurve(name, draws, centre + first / count, stderr)


def _metric_curves(results: Results, name: str, metrics: Sequence[str]) -> dict[str, ConvergenceCurve]:
    points = _points(results)
    labels = known_labels(results, "convergence")
    examples, outputs = results.summary.mean.shape
    sums = {metric: np.zeros((len(points), _BLOCKS + 1)) for metric in metrics}
    step = max(1, _CHUNK_BYTES // (8 * results.run.mc_iters * outputs))
    for start in range(0, examples, step):
        part = slice(start, start + step)
        values = stored_draws(results, part).values.astype(np.float64)
        until = np.concatenate([np.zeros((1, *values.shape[1:])), np.cumsum(values, axis=0)])
        for row, draws in enumerate(points):
            means = _block_means(until, int(draws), _unit(results))
            for metric in metrics:
                each = METRICS[metric].of_example(means, labels[part]).sum(axis=1)
                sums[metric][row, : len(each)] += each
                sums[metric][row, len(each) :] = np.nan
    return {
        metric: _metric_curve(name, points, METRICS[metric].of_mean(total / examples)) for metric, total in sums.items()
    }


def _block_means(until: Float64Array, draws: int, unit: int) -> Float64Array:
    """The mean of the first draws, and those without each block of them, `[1 + block, example, output]`."""
    blocks = min(_BLOCKS, draws // unit)
    total = until[draws]
    if blocks < 2:
        return np.asarray(total[None] / draws)
    bounds = unit * (np.arange(blocks + 1) * (draws // unit) // blocks)
    left = (draws - np.diff(bounds))[:, None, None]
    return np.concatenate([total[None] / draws, (total - np.diff(until[bounds], axis=0)) / left])


def _metric_curve(name: str, draws: IntArray, values: Float64Array) -> ConvergenceCurve:
    whole, without = values[:, 0], values[:, 1:]
    blocks = np.isfinite(without).sum(axis=1)
    known = np.where(np.isfinite(without), without, 0.0)
    centre = known.sum(axis=1) / np.maximum(blocks, 1)
    squares = np.where(np.isfinite(without), (known - centre[:, None]) ** 2, 0.0).sum(axis=1)
    stderr = np.sqrt(squares * (blocks - 1) / np.maximum(blocks, 1), where=blocks > 1, out=np.full(len(draws), np.nan))
    return ConvergenceCurve(name, draws, whole, stderr)


def size_convergence(data: ConvergenceData) -> tuple[float, float]:
    """Width and height that suit the data, inches."""
    return max(4.4, 3.3 * len(data.panels)), 3.1 + 0.3 * _has_legend(data)


def _has_legend(data: ConvergenceData) -> bool:
    return any(len(curves) > 1 for curves in data.panels.values())


def draw_convergence(data: ConvergenceData, figure: Figure) -> None:
    """Draw a panel for each quantity, with bands of 95 % around the curves."""
    panels = figure.subplots(1, len(data.panels), squeeze=False)[0]
    for axes, (title, curves) in zip(panels, data.panels.items(), strict=True):
        for index, curve in enumerate(curves):
            style = line_style(index)
            axes.plot(curve.draws, curve.values, label=curve.name, **style)
            low, high = curve.values - _Z * curve.mc_stderr, curve.values + _Z * curve.mc_stderr
            axes.fill_between(curve.draws, low, high, color=style["color"], alpha=0.2, linewidth=0)
        axes.set_ylim(*_limits(curves))
        log_axis(axes)
        axes.set_xlabel("draws")
        axes.set_title(title)
    panels[0].set_ylabel("value; band: 95% MC interval")
    if _has_legend(data):
        legend_below(figure, panels[0])


def _limits(curves: Sequence[ConvergenceCurve]) -> tuple[float, float]:
    """What the axis shows: all values, and bands where there are enough draws for a standard error to mean much."""
    ends = []
    for curve in curves:
        ends += [curve.values, *(curve.values + sign * _Z * curve.mc_stderr for sign in (-1.0, 1.0))]
        for band in ends[-2:]:
            band[curve.draws < _FEW_DRAWS] = np.nan
    low, high = float(np.nanmin(np.concatenate(ends))), float(np.nanmax(np.concatenate(ends)))
    margin = 0.05 * (high - low) or 0.05
    return low - margin, high + margin
