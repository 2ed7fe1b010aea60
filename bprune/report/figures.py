"""The pictures of a report, as SVG that stands inside of an HTML page."""

from __future__ import annotations

import base64
import dataclasses
import io
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from bprune.arrays import AnyArray
from bprune.case.task import Task
from bprune.errors import InputError
from bprune.html import escaped
from bprune.inference.statistics import ClassificationSummary
from bprune.judgement.sweep import NOT_LOWERED, Sweep
from bprune.plots.density import GRID_POINTS, binned_density
from bprune.plots.figure import figure_of
from bprune.plots.pdf import PdfData, PdfExample
from bprune.plots.pictures import picture_of
from bprune.plots.regression import RegressionData, regression_data
from bprune.plots.reliability import reliability_data
from bprune.plots.risk_coverage import risk_coverage_data
from bprune.plots.save import svg_text
from bprune.plots.snr import snr_data
from bprune.plots.sweep import sweep_data
from bprune.plots.uncertainty import uncertainty_data
from bprune.report.findings import Findings, Side

__all__ = ["Picture", "density_picture", "draw_pictures", "draws_of_example", "input_picture", "most_likely", "thinned"]

_REFERENCE_SNR = 1.0
_POINTS_PER_INCH = 72.0
_DENSITY_INCHES = (7.4, 2.3)
_MOST_POINTS = 500


@dataclass(frozen=True)
class Picture:
    """A picture of a report.

    Attributes:
        svg: The `<svg>` element; its text came through matplotlib, which escapes it.
        caption: What it shows.
    """

    svg: str
    caption: str


def draw_pictures(findings: Findings) -> dict[str, Picture]:
    """All pictures but those of single examples, by name; those without data are left out."""
    makers: dict[str, Callable[[Findings], list[tuple[object, str]]]] = {
        "snr": _snr,
        "sweep": _sweep,
        "reliability": _reliability,
        "risk": _risk,
        "uncertainty": _uncertainty,
        "regression": _regression,
    }
    pictures = {}
    for name, maker in makers.items():
        for place, (data, caption) in enumerate(maker(findings)):
            key = name if place == 0 else f"{name}_{place}"
            pictures[key] = _picture(key, data, caption)
    return pictures


def _picture(name: str, data: object, caption: str, size: tuple[float, float] | None = None) -> Picture:
    text = svg_text(figure_of(data, size=size))
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'((?: id|href)="#?|url\(#)', rf"\1{name}-", text)  # names of one picture do not meet another's
    width, height = (float(re.search(rf'{side}="([\d.]+)pt"', text)[1]) for side in ("width", "height"))  # type: ignore[index]
    text = re.sub(r' (?:width|height)="[\d.]+pt"', "", text, count=2)
    label = caption.split(".")[0].split(": ")[0]
    style = f'style="width:{width / _POINTS_PER_INCH:.2f}in;aspect-ratio:{width:.0f}/{height:.0f}"'
    return Picture(text.replace("<svg", f'<svg role="img" aria-label="{escaped(label)}" {style}', 1), caption)


def _snr(findings: Findings) -> list[tuple[object, str]]:
    rule = findings.choice.rule
    by_snr = rule is not None and rule.criterion.name == "snr"
    threshold = findings.choice.threshold if by_snr else _REFERENCE_SNR
    if by_snr and rule is not None and rule.threshold is not None:
        threshold = rule.threshold
    if not np.isfinite(threshold):
        by_snr, threshold = False, _REFERENCE_SNR
    line = "the chosen threshold" if by_snr else "an SNR of 1, below which a weight is more noise than signal"
    caption = (
        "Signal-to-noise ratio of the weights, |loc| / scale, on a logarithmic axis. Left: how many weights have it. "
        f"Right: what share of the weights lies below. The dashed line is {line}."
    )
    if not any((item.snr > 0.0).any() for item in findings.network.posteriors):
        return []
    return [(snr_data(findings.network, threshold), caption)]


def _sweep(findings: Findings) -> list[tuple[object, str]]:
    sweep = findings.sweep
    if sweep is None or len(sweep.points) < 2:
        return []
    chosen = None if findings.choice.rule is None else findings.choice.total.sparsity
    caption = (
        "What pruning costs, and saves. Bands are 95 % intervals for the noise of finite draws, dotted lines the whole "
        f"network; {sweep.mc_iters} draws of the same noise at every point."
    )
    return [(sweep_data([sweep], _panels(sweep), chosen=chosen), caption)]


def _panels(sweep: Sweep) -> list[str]:
    wanted = ["accuracy", "rmse", "nll"]
    shown = [name for name in wanted if name in sweep.metric_names] or list(sweep.metric_names)[:2]
    if all(point.multiply_adds != NOT_LOWERED for point in sweep.points):
        shown.append("multiply_adds")
    if not all(np.isnan(point.draw_us) for point in sweep.points):
        shown.append("draw_us")
    return shown


def _labelled(findings: Findings, task: Task) -> bool:
    results = findings.results
    return findings.case.task is task and bool(results) and all(item.labels is not None for item in results)


def _names(findings: Findings) -> tuple[str, ...]:
    return tuple(side.name for side in findings.sides)


def _reliability(findings: Findings) -> list[tuple[object, str]]:
    if not _labelled(findings, Task.CLASSIFICATION):
        return []
    caption = (
        "Reliability: is confidence deserved? Predictions of a calibrated network lie on the diagonal, those of an "
        "overconfident one below. Bars are one standard error; below, how often each confidence occurs."
    )
    return [(reliability_data(findings.results, _names(findings)), caption)]


def _risk(findings: Findings) -> list[tuple[object, str]]:
    if not _labelled(findings, Task.CLASSIFICATION):
        return []
    caption = (
        "Risk against coverage: the share of errors that is left when only the most confident predictions are used. "
        "Lower is better; AURC is the area under the curve."
    )
    return [(risk_coverage_data(findings.results, names=_names(findings)), caption)]


def _uncertainty(findings: Findings) -> list[tuple[object, str]]:
    if not _labelled(findings, Task.CLASSIFICATION):
        return []
    caption = (
        f"Uncertainty of right and wrong predictions, {findings.last.name}. An AUROC of 1 means that every wrong "
        "prediction is more uncertain than every right one, 0.5 that uncertainty says nothing."
    )
    try:
        return [(uncertainty_data(findings.results[-1]), caption)]
    except InputError:  # all are right, or all are wrong: there is nothing to tell apart
        return []


def _regression(findings: Findings) -> list[tuple[object, str]]:
    if findings.case.task is not Task.REGRESSION:
        return []
    made: list[tuple[object, str]] = []
    for side, results in zip(findings.sides, findings.results, strict=False):
        caption = (
            f"Predictions {side.name}. The dark band is what the network does not know (epistemic), the light one "
            "includes the noise of the data; both are meant to hold 95 %."
        )
        try:
            data, step = thinned(regression_data(results))
            made.append((data, caption if step == 1 else f"{caption} One of {step} examples is shown."))
        except InputError:  # inputs of several numbers and no targets: there is no axis
            return []
    return made


def thinned(data: RegressionData) -> tuple[RegressionData, int]:
    """Every n-th example of a picture with very many, and n: each would be an element of the page."""
    step = -(-len(data.mean) // _MOST_POINTS)
    arrays: dict[str, Any] = {
        field.name: value[::step]
        for field in dataclasses.fields(data)
        if isinstance(value := getattr(data, field.name), np.ndarray)
    }
    return dataclasses.replace(data, **arrays), step


def density_picture(findings: Findings, example: int, classes: tuple[int, ...]) -> Picture | None:
    """The densities of the softmax value of some classes, before and after; None where no network can draw."""
    found = {side.name: draws_of_example(side, findings, example) for side in findings.sides}
    known = {name: draws[:, list(classes)] for name, draws in found.items() if draws is not None}
    if not known or findings.data is None:
        return None
    draws = list(known.values())
    labels = findings.data.labels
    item = PdfExample(
        example,
        None if labels is None else int(labels[example]),
        classes,
        np.stack([binned_density(values) for values in draws]),
        np.stack([values.mean(axis=0, dtype=np.float64) for values in draws]),
        None,
    )
    data = PdfData(np.linspace(0.0, 1.0, GRID_POINTS), tuple(known), (item,))
    caption = f"What the draws say about example {example}: density of the softmax value of each class"
    if len(known) < len(findings.sides):
        caption = f"{caption}, {next(iter(known))}. The draws of the other network are not stored in its results"
    return _picture(f"pdf{example}", data, f"{caption}.", _DENSITY_INCHES)


def draws_of_example(side: Side, findings: Findings, example: int) -> AnyArray | None:
    """All draws of one example, the same as in the run: noise is keyed by the numbers of draw and example.

    Returns:
        `[draw, class]`; None where the network is not here and its results keep no draws.
    """
    if side.prepared is None or findings.data is None:
        stored = None if side.results is None else side.results.draws(slice(example, example + 1))
        return None if stored is None else stored.values[:, 0]
    inputs = findings.data.inputs[example : example + 1]
    return side.prepared.engine.draw(inputs, range(findings.draws.mc_iters), example).values[:, 0]


def most_likely(summary: ClassificationSummary, example: int, label: int | None, number: int = 3) -> tuple[int, ...]:
    """The classes with the largest mean probability, and the true one."""
    ranked = [int(class_) for class_ in np.argsort(-summary.mean[example], kind="stable")]
    if label is not None and 0 <= label < len(ranked) and label not in ranked[:number]:
        ranked = [*ranked[: number - 1], label]
    return tuple(sorted(ranked[:number]))


def input_picture(value: AnyArray) -> str | None:
    """An input that looks like a picture as a PNG in a data URL, or None."""
    picture = picture_of(value)
    if picture is None:
        return None
    from matplotlib.image import imsave

    stream = io.BytesIO()
    imsave(stream, picture, format="png", cmap="gray_r", metadata={"Software": "bprune"})
    return "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode("ascii")
