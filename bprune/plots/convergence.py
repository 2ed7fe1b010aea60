"""How means and metrics settle with the number of draws: how many draws are enough."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bprune.arrays import Float64Array, IntArray
from bprune.case.task import Task
from bprune.errors import InputError, UsageError
from bprune.inference.predict import mixture_of
from bprune.metrics import METRICS, ClassPredictions, Predictions, ValuePredictions, evaluate
from bprune.metrics.blocks import BLOCKS, block_draws, block_of
from bprune.metrics.entropy import entropy
from bprune.plots.requirements import check_examples, known_labels, same_examples, series_names, stored_draws
from bprune.plots.style import legend_below, line_style, log_axis
from bprune.plots.titles import metric_title
from bprune.results.read import Results

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["ConvergenceCurve", "ConvergenceData", "convergence_data", "draw_convergence", "size_convergence"]

_POINTS = 40
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

    The MC standard error of the mean is s / sqrt(draws), for antithetic pairs that of pair means; that of a metric
    comes from halves of the draws, see `bprune.metrics.blocks`. Draws of an ensemble are counted for each member.

    Args:
        files: Results of the same examples with their draws.
        example: Which example; None for the one with the largest MC standard error in the first file.
        output: Which class or output of it; None for the one with the largest MC standard error.
        metrics: Metrics of a classification, or rmse of a regression; none for accuracy and nll, or rmse.
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
        panels |= {
            metric_title(files[0].task.value, metric): tuple(item[metric] for item in curves) for metric in chosen
        }
    return ConvergenceData(panels)


_USUAL = {Task.CLASSIFICATION: ("accuracy", "nll"), Task.REGRESSION: ("rmse",)}
_OF_MEANS = ("rmse",)
"""Metrics of a regression that need means alone."""


def _metrics(results: Results, metrics: Sequence[str]) -> tuple[str, ...]:
    if not metrics:
        return _USUAL[results.task] if results.labels is not None else ()
    known_labels(results, "convergence of a metric")
    fitting = tuple(METRICS[Task.CLASSIFICATION]) if results.task is Task.CLASSIFICATION else _OF_MEANS
    for metric in metrics:
        if metric not in fitting:
            raise UsageError(
                f"there is no course of the metric {metric} of a {results.task.value}",
                hint=f"Give one of: {', '.join(fitting)}.",
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
        draws = stored_draws(item, slice(example, example + 1)).values[:, 0, output].astype(np.float64)
        series = draws.reshape(max(len(item.members), 1), -1).mean(axis=0)  # of an ensemble the means over members
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
    labels, points = known_labels(results, "convergence"), _points(results)
    found = [evaluate(item, labels, names=metrics) for item in _growing(results, points)]
    return {
        metric: ConvergenceCurve(
            name,
            points,
            np.array([item[metric].value for item in found]),
            np.array([item[metric].mc_stderr for item in found]),
        )
        for metric in metrics
    }


def _growing(results: Results, points: IntArray) -> Iterator[Predictions]:
    """The predictions made of so many first draws, of each member of an ensemble, for each point."""
    members = [_member_growing(results, number, points) for number in range(max(len(results.members), 1))]
    for predictions in zip(*members, strict=True):
        yield predictions[0] if len(predictions) == 1 else mixture_of(predictions)


def _member_growing(results: Results, member: int, points: IntArray) -> Iterator[Predictions]:
    values = stored_draws(results, slice(None), member).values
    examples, paired = values.shape[1], results.run.antithetic
    sums = np.zeros((BLOCKS, *values.shape[1:]))
    entropies, votes = np.zeros((BLOCKS, examples)), np.zeros(sums.shape)
    made = 0
    for point in points:
        for number in range(made, int(point)):
            block, draw = block_of(number, paired=paired), values[number].astype(np.float64)
            sums[block] += draw
            if results.task is Task.CLASSIFICATION:
                entropies[block] += entropy(draw)
                votes[block, np.arange(examples), draw.argmax(axis=1)] += 1.0
        made = int(point)
        counts = block_draws(np.full(examples, made), paired=paired)
        if results.task is Task.CLASSIFICATION:
            yield _class_predictions(sums, entropies, votes, counts, made)
        else:
            yield _value_predictions(sums, counts, made)


def _class_predictions(
    sums: Float64Array, entropies: Float64Array, votes: Float64Array, counts: IntArray, draws: int
) -> ClassPredictions:
    each = np.maximum(counts, 1)
    return ClassPredictions(
        sums.sum(axis=0) / draws,
        entropies.sum(axis=0) / draws,
        votes.sum(axis=0) / draws,
        sums / each[..., None],
        entropies / each,
        votes / each[..., None],
        counts,
    )


def _value_predictions(sums: Float64Array, counts: IntArray, draws: int) -> ValuePredictions:
    """Means alone; there is no noise and no spread in them."""
    nothing, nothings = np.zeros(sums.shape[1:]), np.zeros(sums.shape)
    return ValuePredictions(
        sums.sum(axis=0) / draws,
        nothing,
        nothing,
        block_mean=sums / np.maximum(counts, 1)[..., None],
        block_noise_variance=nothings,
        block_squares=nothings,
        block_draws=counts,
    )


def size_convergence(data: ConvergenceData) -> tuple[float, float]:
    """Width and height that suit the data, inches."""
    return max(4.4, 3.3 * len(data.panels)), 3.1 + 0.3 * _has_legend(data)


def _has_legend(data: ConvergenceData) -> bool:
    return any(len(curves) > 1 for curves in data.panels.values())


def draw_convergence(data: ConvergenceData, figure: Figure) -> None:
    """Draw a panel for each quantity, with bands of 95 % around the curves from 5 draws on."""
    panels = figure.subplots(1, len(data.panels), squeeze=False)[0]
    for axes, (title, curves) in zip(panels, data.panels.items(), strict=True):
        for index, curve in enumerate(curves):
            style = line_style(index)
            axes.plot(curve.draws, curve.values, label=curve.name, **style)
            low, high = _band(curve)
            axes.fill_between(curve.draws, low, high, color=style["color"], alpha=0.2, linewidth=0)
        axes.set_ylim(*_limits(curves))
        log_axis(axes)
        axes.set_xlabel("draws")
        axes.set_title(title)
    panels[0].set_ylabel("value; band: 95% MC interval")
    if _has_legend(data):
        legend_below(figure, panels[0])


def _band(curve: ConvergenceCurve) -> tuple[Float64Array, Float64Array]:
    """The interval of 95 %; none where there are too few draws for a standard error to mean much."""
    known = np.where(curve.draws >= _FEW_DRAWS, _Z * curve.mc_stderr, np.nan)
    return curve.values - known, curve.values + known


def _limits(curves: Sequence[ConvergenceCurve]) -> tuple[float, float]:
    """What the axis shows: all values and bands."""
    shown = np.concatenate([np.concatenate([curve.values, *_band(curve)]) for curve in curves])
    low, high = float(np.nanmin(shown)), float(np.nanmax(shown))
    margin = 0.05 * (high - low) or 0.05
    return low - margin, high + margin
