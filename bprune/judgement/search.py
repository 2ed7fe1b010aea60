"""The largest sparsity that a budget allows: a walk up a coarse grid, then bisection.

Each look asks whether the upper confidence bound of every limited worsening is within its limit. Many looks at one set
of examples would let chance pass one of them, so the error rate alpha = 1 - confidence is divided:

- alpha / 2 for the grid, from low to high sparsity. Curves are not strictly monotone, so one failure is forgiven, and
  the walk ends at the second. A sparsity beyond the budget can then only be taken if one of the first two of them
  passes, whatever the curve: each look has alpha / 4.
- alpha / 2 for the bisection between the best of the grid and the next failure above it: alpha / (2 steps) each. Where
  the true worsening grows with sparsity, looks beyond the budget lie on one path, that of a bisection that errs
  nowhere: after a look within the budget has failed, all others are within it too. So they are `steps` at most.

What is found has itself passed; nothing is interpolated. Several limits need no further division: a sparsity beyond the
budget breaks one of them, and has to pass that one.

Source: fixed-sequence testing, Maurer, Hothorn and Lehmacher (1995); Angelopoulos, Bates, Candes, Jordan and Lei,
"Learn then test" (2021).
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from bprune.judgement.budget import Budget
from bprune.metrics.estimate import Estimate

__all__ = ["BISECTIONS", "Look", "Search", "search"]

BISECTIONS = 4
"""Steps of the bisection: a sixteenth of the distance between two points of the grid."""

_FORGIVEN = 1
_RESOLUTION = 0.001


@dataclass(frozen=True)
class Look:
    """One sparsity that was judged.

    Attributes:
        sparsity: The sparsity.
        stage: `grid` or `bisection`.
        error_rate: The error rate of its bounds.
        worsening: The worsening that was measured, by metric.
        bounds: Its upper confidence bound, by metric.
        qualifies: Whether every bound is within its limit.
    """

    sparsity: float
    stage: str
    error_rate: float
    worsening: Mapping[str, float]
    bounds: Mapping[str, float]
    qualifies: bool


def _plain(look: dict[str, Any]) -> dict[str, Any]:
    """A look for JSON, which has no words for what is not a number or not finite."""
    for name in ("worsening", "bounds"):
        look[name] = {key: value if math.isfinite(value) else None for key, value in look[name].items()}
    return look


@dataclass(frozen=True)
class Search:
    """What a search looked at and found.

    Attributes:
        budget: The budget.
        looks: Every look, in order.
        best: The largest sparsity that qualified; None where none did.
    """

    budget: Budget
    looks: tuple[Look, ...]
    best: Look | None

    def nearest(self) -> Look:
        """The best look, or else the one that came nearest to the budget."""
        limits = {limit.metric: limit.largest for limit in self.budget.limits}
        return self.best or min(
            self.looks, key=lambda look: max(bound - limits[name] for name, bound in look.bounds.items())
        )

    def record(self) -> dict[str, object]:
        """The search as a JSON object."""
        return {
            "limits": {limit.metric: limit.largest for limit in self.budget.limits},
            "confidence": self.budget.confidence,
            "sparsity": self.best.sparsity if self.best else None,
            "looks": [_plain(asdict(look)) for look in self.looks],
        }

    def to_json(self) -> str:
        """The same as text."""
        return json.dumps(self.record(), sort_keys=True)


def search(
    measure: Callable[[float], Mapping[str, Estimate] | None],
    budget: Budget,
    grid: Sequence[float],
    *,
    examples: int,
    blocks: int,
    start: float = 0.0,
    steps: int = BISECTIONS,
) -> Search:
    """Find the largest sparsity within a budget.

    Args:
        measure: The paired differences to the whole network at a sparsity, by metric; None where the network cannot
            be pruned so far. It is called once for every look.
        budget: The limits.
        grid: Sparsities above `start` to look at first, in any order; the largest is the largest that can be found.
        examples: Number of examples behind the differences.
        blocks: Number of blocks of draws behind their MC standard errors.
        start: The sparsity of the whole network, which is within every budget.
        steps: Most steps of the bisection.
    """
    alpha = 1.0 - budget.confidence
    looks: list[Look] = []

    def look(sparsity: float, stage: str, error_rate: float) -> bool:
        differences = measure(sparsity)
        bounds, worsening = _judge(differences, budget, examples, blocks, error_rate)
        qualifies = all(bounds[limit.metric] <= limit.largest for limit in budget.limits)
        looks.append(Look(sparsity, stage, error_rate, worsening, bounds, qualifies))
        return qualifies

    failed: list[float] = []
    for sparsity in sorted(set(grid)):
        if len(failed) > _FORGIVEN or (looks and _is_impossible(looks[-1])):
            break
        if not look(sparsity, "grid", alpha / (2 * (1 + _FORGIVEN))):
            failed.append(sparsity)
    low = _largest(looks, start)
    high = min((item for item in failed if item > low), default=low)
    for _ in range(steps):
        if high - low <= _RESOLUTION:
            break
        middle = (low + high) / 2.0
        if look(middle, "bisection", alpha / (2 * steps)):
            low = middle
        else:
            high = middle
    best = max((item for item in looks if item.qualifies), key=lambda item: item.sparsity, default=None)
    return Search(budget, tuple(looks), best)


def _judge(
    differences: Mapping[str, Estimate] | None, budget: Budget, examples: int, blocks: int, error_rate: float
) -> tuple[dict[str, float], dict[str, float]]:
    """The bound of every limited worsening, and the worsening itself; infinite bounds where nothing was measured."""
    names = [limit.metric for limit in budget.limits]
    if differences is None:
        return dict.fromkeys(names, math.inf), dict.fromkeys(names, math.nan)
    bounds = {
        limit.metric: limit.bound(differences[limit.metric], examples, blocks, error_rate) for limit in budget.limits
    }
    return bounds, {limit.metric: limit.worsening(differences[limit.metric]).value for limit in budget.limits}


def _is_impossible(look: Look) -> bool:
    return all(math.isnan(value) for value in look.worsening.values())


def _largest(looks: Sequence[Look], start: float) -> float:
    """The largest sparsity that qualified; that of the whole network where none did."""
    return max((item.sparsity for item in looks if item.qualifies), default=start)
