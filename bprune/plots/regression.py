"""Predictions of a regression with their uncertainty: noise (aleatoric) and ignorance (epistemic) apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bprune.arrays import Float64Array
from bprune.errors import InputError, UsageError
from bprune.plots.requirements import regression
from bprune.plots.style import COLOURS, GREY
from bprune.results.read import Results

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["RegressionData", "draw_regression", "regression_data", "size_regression"]

_Z = 1.96


@dataclass(frozen=True)
class RegressionData:
    """What the picture of a regression shows, one output of it; ordered by input where there is one, else by target.

    Attributes:
        output: Number of the output.
        inputs: The input, `[example]`, float64, rising; None where it has more than one dimension.
        mean: Predictive mean, `[example]`, float64.
        epistemic_stddev: Standard deviation over draws of the mean, `[example]`, float64.
        stddev: Total predictive standard deviation, `[example]`, float64.
        target: True values, `[example]`, float64; None where they are not known.
    """

    output: int
    inputs: Float64Array | None
    mean: Float64Array
    epistemic_stddev: Float64Array
    stddev: Float64Array
    target: Float64Array | None


def regression_data(results: Results, output: int = 0) -> RegressionData:
    """Order the predictions of one output.

    Args:
        results: Results of a regression.
        output: Number of the output.

    Raises:
        UnsupportedError: If the file is of a classification.
        UsageError: If the output does not exist.
        InputError: If there is neither one input nor a target to show the predictions against.
    """
    summary = regression(results, "regression")
    outputs = summary.mean.shape[1]
    if not 0 <= output < outputs:
        raise UsageError(f"there is no output {output}; the network has {outputs}", hint=f"From 0 to {outputs - 1}.")
    target = None if results.labels is None else np.asarray(results.labels[:, output], np.float64)
    flat = np.asarray(results.inputs).reshape(len(summary.mean), -1)
    inputs = flat[:, 0].astype(np.float64) if flat.shape[1] == 1 else None
    along = inputs if inputs is not None else target
    if along is None:
        raise InputError(
            f"{results.path} has inputs of {flat.shape[1]} numbers and no targets, so there is no axis to show them on",
            hint="Run bprune infer again with targets in --data, or with --labels.",
        )
    order = np.argsort(along, kind="stable")
    return RegressionData(
        output,
        None if inputs is None else inputs[order],
        mean=np.asarray(summary.mean[order, output], np.float64),
        epistemic_stddev=np.asarray(summary.epistemic_stddev[order, output], np.float64),
        stddev=np.asarray(summary.stddev[order, output], np.float64),
        target=None if target is None else target[order],
    )


def size_regression(data: RegressionData) -> tuple[float, float]:
    """Width and height that suit the data, inches."""
    return (5.6, 3.6) if data.inputs is not None else (4.4, 4.2)


def draw_regression(data: RegressionData, figure: Figure) -> None:
    """Draw bands over a single input, or the predictions against the true values."""
    axes = figure.subplots()
    if data.inputs is not None:
        _draw_bands(data, data.inputs, axes)
    elif data.target is not None:
        _draw_pairs(data, data.target, axes)
    axes.legend()


def _draw_bands(data: RegressionData, inputs: Float64Array, axes: Axes) -> None:
    bands = (("95% total (with noise)", data.stddev, "#BFD9EA"), ("95% epistemic", data.epistemic_stddev, "#5FA3CC"))
    for label, stddev, colour in bands:
        low, high = data.mean - _Z * stddev, data.mean + _Z * stddev
        axes.fill_between(inputs, low, high, color=colour, linewidth=0, label=label)
    axes.plot(inputs, data.mean, color=COLOURS[0], label="mean")
    if data.target is not None:
        axes.plot(inputs, data.target, ".", color=COLOURS[1], markersize=3, label="true values")
    axes.set_xlabel("input")
    axes.set_ylabel(f"output {data.output}")


def _draw_pairs(data: RegressionData, target: Float64Array, axes: Axes) -> None:
    ends = (float(min(target.min(), data.mean.min())), float(max(target.max(), data.mean.max())))
    axes.plot(ends, ends, color=GREY, linestyle="--", linewidth=1.0, label="predicted = true")
    errors = {
        "95% total (with noise)": (data.stddev, "#9CC4DE", 1.0),
        "95% epistemic": (data.epistemic_stddev, COLOURS[0], 2.2),
    }
    for label, (stddev, colour, width) in errors.items():
        axes.errorbar(target, data.mean, _Z * stddev, fmt="none", ecolor=colour, elinewidth=width, label=label)
    axes.plot(target, data.mean, "o", color=COLOURS[1], markersize=3, label="mean")
    axes.set_xlabel(f"true value of output {data.output}")
    axes.set_ylabel("predicted value")
