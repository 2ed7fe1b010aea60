"""The metrics of a results file in words: of the whole, and of the members of an ensemble."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from bprune.metrics import MAIN_METRICS, METRICS, Estimate

if TYPE_CHECKING:
    from bprune.results.read import Results

__all__ = ["describe_metrics", "mean_of_members", "member_metrics"]

_FEW = 2
"""How many metrics of each member are told in a line."""


def describe_metrics(results: Results) -> dict[str, str]:
    """The main metrics; of an ensemble also the first ones of the mean member and of each, by heading."""
    names = MAIN_METRICS[results.task]
    found = {"metrics": _text(results.metrics(names))}
    if results.members:
        each = member_metrics(results, names)
        found["on avg"] = ", ".join(f"{name} {value:.4g}" for name, value in mean_of_members(each).items())
        for number, (member, metrics) in enumerate(zip(results.run.members, each, strict=True)):
            first = dict(list(metrics.items())[:_FEW])
            found[f"member {number}"] = f"{member.case}, seed {member.seed}, {_text(first)}"
    return found


def member_metrics(results: Results, names: Sequence[str] | None = None) -> list[dict[str, Estimate]]:
    """Metrics of each member of an ensemble; those of an ensemble alone are left out.

    Args:
        results: The results.
        names: Names of metrics; None takes all that apply.
    """
    chosen = METRICS[results.task] if names is None else names
    return [results.metrics(chosen, member=number) for number in range(len(results.members))]


def mean_of_members(each: Sequence[Mapping[str, Estimate]]) -> dict[str, float]:
    """The mean over members of their metrics: what one of them, taken at random, has."""
    return {name: float(np.mean([metrics[name].value for metrics in each])) for name in (each[0] if each else ())}


def _text(metrics: Mapping[str, Estimate]) -> str:
    return ", ".join(f"{name} {item.value:.4g} +- {item.stderr:.2g}" for name, item in metrics.items())
