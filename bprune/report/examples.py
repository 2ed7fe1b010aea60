"""The examples that a network is least sure of, with their pictures and what both networks say about them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bprune.arrays import AnyArray, IntArray
from bprune.cells import percent
from bprune.inference.statistics import ClassificationSummary, RegressionSummary
from bprune.report.figures import Picture, density_picture, input_picture, most_likely
from bprune.report.findings import Findings, Side
from bprune.report.words import metric_number, plain_number
from bprune.results import Results

__all__ = ["EXAMPLES", "Example", "most_uncertain", "uncertain_examples"]

EXAMPLES = 6
"""How many examples are shown."""

_SHOWN_VALUES = 8


@dataclass(frozen=True)
class Example:
    """One example.

    Attributes:
        number: Its number in the data, from 0.
        image: The input as a data URL, or None when it is no picture.
        values: The input in numbers, where it is no picture.
        facts: What is known and what the networks say, as pairs of name and text.
        density: The densities of the softmax value; None for a regression.
        content: The same for the JSON object.
    """

    number: int
    image: str | None
    values: str
    facts: tuple[tuple[str, str], ...]
    density: Picture | None
    content: dict[str, object]


def uncertain_examples(findings: Findings) -> tuple[Example, ...]:
    """The examples that the last network is least sure of, the least certain first; none without data."""
    results = findings.last.results
    if results is None:
        return ()
    inputs = findings.data.inputs if findings.data is not None else results.inputs
    return tuple(_example(findings, int(number), inputs[number]) for number in most_uncertain(results)[:EXAMPLES])


def most_uncertain(results: Results) -> IntArray:
    """The numbers of all examples by falling predictive entropy, or predictive standard deviation."""
    summary = results.summary
    if isinstance(summary, ClassificationSummary):
        doubt = np.asarray(summary.predictive_entropy, np.float64)
    else:
        doubt = np.sqrt(np.sum(np.square(np.asarray(summary.stddev, np.float64)), axis=1))
    return np.asarray(np.argsort(-doubt, kind="stable"), np.int64)


def _example(findings: Findings, number: int, value: AnyArray) -> Example:
    image = input_picture(value)
    sides = [side for side in findings.sides if side.results is not None]
    label = _label(findings.last, number)
    density = None
    summary = findings.last.results.summary if findings.last.results is not None else None
    if isinstance(summary, ClassificationSummary):
        known = None if label is None else int(label[0])
        facts = [("True class", "not known" if known is None else str(known))]
        density = density_picture(findings, number, most_likely(summary, number, known))
    else:
        facts = [("True value", "not known" if label is None else _row(label))]
    content: dict[str, object] = {"example": number, "label": None if label is None else label.tolist()}
    for side in sides:
        assert side.results is not None
        text, said = _said(side.results, number)
        facts.append((f"Prediction {side.name}", text))
        content[side.name] = said
    return Example(number, image, "" if image else _values(value), tuple(facts), density, content)


def _label(side: Side, number: int) -> AnyArray | None:
    results = side.results
    return None if results is None or results.labels is None else np.atleast_1d(results.labels[number])


def _said(results: Results, number: int) -> tuple[str, dict[str, object]]:
    summary = results.summary
    if isinstance(summary, RegressionSummary):
        mean, stddev, own = (
            np.asarray(item[number], np.float64) for item in (summary.mean, summary.stddev, summary.epistemic_stddev)
        )
        text = f"{_row(mean)} ± {_row(stddev)} (one standard deviation, of which the network's own doubt {_row(own)})"
        return text, {"mean": mean.tolist(), "stddev": stddev.tolist(), "epistemic_stddev": own.tolist()}
    class_ = int(summary.mean[number].argmax())
    share = float(summary.mean[number, class_])
    entropy, information = float(summary.predictive_entropy[number]), float(summary.mutual_information[number])
    text = (
        f"class {class_} with {percent(share)}; entropy {metric_number(entropy)}, of which mutual information "
        f"{metric_number(information)}"
    )
    said: dict[str, object] = {"class": class_, "probability": share, "predictive_entropy": entropy}
    return text, said | {"mutual_information": information}


def _row(values: AnyArray) -> str:
    return ", ".join(plain_number(float(value)) for value in values[:_SHOWN_VALUES])


def _values(value: AnyArray) -> str:
    flat = np.asarray(value, np.float64).reshape(-1)
    more = f", ... ({flat.size} numbers)" if flat.size > _SHOWN_VALUES else ""
    return _row(flat) + more
