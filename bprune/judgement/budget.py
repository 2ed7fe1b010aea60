"""How much worse a network may become: limits on metrics, and the confidence with which they are kept."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from bprune.errors import UsageError
from bprune.judgement.bounds import upper_bound
from bprune.metrics.estimate import Estimate

__all__ = ["DEFAULT_CONFIDENCE", "Budget", "Limit", "budget_of"]

DEFAULT_CONFIDENCE = 0.95

_LIMITS = {
    "accuracy": ("max_accuracy_drop", True),
    "nll": ("max_nll_rise", False),
    "ece": ("max_ece_rise", False),
    "rmse": ("max_rmse_rise", False),
}
"""The metrics that can be limited: the name of the argument, and whether higher is better."""

_PROPORTIONS = {"accuracy"}


@dataclass(frozen=True)
class Limit:
    """The most that one metric may get worse.

    Attributes:
        metric: Name of the metric.
        largest: The worsening that is allowed, in the unit of the metric, at least 0.

    Raises:
        UsageError: If the metric cannot be limited, or the number is negative or not finite.
    """

    metric: str
    largest: float

    def __post_init__(self) -> None:
        if self.metric not in _LIMITS:
            raise UsageError(f"the metric {self.metric!r} cannot be limited; allowed are {', '.join(_LIMITS)}")
        if not (math.isfinite(self.largest) and self.largest >= 0.0):
            raise UsageError(f"{self.option} is {self.largest}; it must be a finite number of at least 0")

    @property
    def option(self) -> str:
        """The option of the command line."""
        return "--" + _LIMITS[self.metric][0].replace("_", "-")

    def worsening(self, difference: Estimate) -> Estimate:
        """A difference to the whole network, positive where the metric got worse."""
        sign = -1.0 if _LIMITS[self.metric][1] else 1.0
        return Estimate(sign * difference.value, difference.data_stderr, difference.mc_stderr)

    def bound(self, difference: Estimate, examples: int, blocks: int, error_rate: float) -> float:
        """The upper confidence bound of the worsening; see `bprune.judgement.bounds.upper_bound`."""
        is_proportion = self.metric in _PROPORTIONS
        return upper_bound(self.worsening(difference), examples, blocks, error_rate, is_proportion=is_proportion)


@dataclass(frozen=True)
class Budget:
    """Limits that all have to be kept.

    Attributes:
        limits: One for each metric.
        confidence: Probability, at least, that the sparsity which is found keeps them on new examples of the same kind.

    Raises:
        UsageError: If there is no limit, or the confidence is not between 0.5 and 1.
    """

    limits: tuple[Limit, ...]
    confidence: float = DEFAULT_CONFIDENCE

    def __post_init__(self) -> None:
        if not self.limits:
            raise UsageError("a budget needs at least one limit")
        if not 0.5 <= self.confidence < 1.0:
            raise UsageError(f"the confidence is {self.confidence}; it must be at least 0.5 and below 1")

    def check(self, metrics: Mapping[str, object]) -> None:
        """Refuse limits on metrics that a network does not have.

        Raises:
            UsageError: If there is one.
        """
        for limit in self.limits:
            if limit.metric not in metrics:
                usable = ", ".join(Limit(name, 0.0).option for name in _LIMITS if name in metrics)
                raise UsageError(
                    f"{limit.option} does not go with this network, which has no {limit.metric}",
                    hint=f"Limits that do: {usable}." if usable else None,
                )

    def describe(self) -> str:
        """The budget in words."""
        words = [
            f"{item.metric} {'drop' if _LIMITS[item.metric][1] else 'rise'} {item.largest:g}" for item in self.limits
        ]
        return f"{', '.join(words)} (confidence {self.confidence:g})"


def budget_of(confidence: float = DEFAULT_CONFIDENCE, **limits: float | None) -> Budget | None:
    """The budget of some arguments; None where none is given.

    Args:
        confidence: See `Budget`.
        **limits: max_accuracy_drop, max_nll_rise, max_ece_rise, max_rmse_rise; None for no limit.
    """
    names = {argument: metric for metric, (argument, _) in _LIMITS.items()}
    given = tuple(Limit(names[name], value) for name, value in limits.items() if value is not None)
    return Budget(given, confidence) if given else None
