"""All metrics, in the order in which they are printed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from bprune.case.task import Task
from bprune.errors import UsageError
from bprune.metrics.accuracy import ACCURACY, top_k_accuracy
from bprune.metrics.aurc import AURC
from bprune.metrics.base import Metric
from bprune.metrics.brier import BRIER, RELIABILITY, RESOLUTION, UNCERTAINTY
from bprune.metrics.calibration import ACE, ECE, MCE
from bprune.metrics.crps import CRPS
from bprune.metrics.intervals import LEVELS, coverage, width
from bprune.metrics.nll import CLASS_NLL, VALUE_NLL
from bprune.metrics.rmse import RMSE
from bprune.metrics.uncertainty import (
    EXPECTED_ENTROPY,
    INFORMATION_SPLIT,
    MUTUAL_INFORMATION,
    PREDICTIVE_ENTROPY,
    VARIANCE_SPLIT,
    VARIATION_RATIO,
)

__all__ = ["MAIN_METRICS", "METRICS", "choose_metrics"]


def _by_name(metrics: Iterable[Metric]) -> dict[str, Metric]:
    return {metric.name: metric for metric in metrics}


METRICS: Mapping[Task, Mapping[str, Metric]] = {
    Task.CLASSIFICATION: _by_name(
        (
            ACCURACY,
            top_k_accuracy(),
            CLASS_NLL,
            BRIER,
            RELIABILITY,
            RESOLUTION,
            UNCERTAINTY,
            ECE,
            ACE,
            MCE,
            AURC,
            PREDICTIVE_ENTROPY,
            EXPECTED_ENTROPY,
            MUTUAL_INFORMATION,
            *INFORMATION_SPLIT,
            VARIATION_RATIO,
        )
    ),
    Task.REGRESSION: _by_name(
        (
            RMSE,
            VALUE_NLL,
            CRPS,
            *(coverage(level) for level in LEVELS),
            *(width(level) for level in LEVELS),
            *VARIANCE_SPLIT,
        )
    ),
}
"""Every metric of a task, by name."""

MAIN_METRICS: Mapping[Task, tuple[str, ...]] = {
    Task.CLASSIFICATION: (
        "accuracy",
        "nll",
        "brier",
        "ece",
        "predictive_entropy",
        "mutual_information",
        "within_members",
        "between_members",
    ),
    Task.REGRESSION: ("rmse", "nll", "crps", "coverage_95", "width_95", "within_members", "between_members"),
}
"""The names of those that a run prints, where they apply: the last two are of ensembles."""


def choose_metrics(task: Task, names: Iterable[str] | None = None) -> tuple[Metric, ...]:
    """Metrics by name.

    Args:
        task: The task.
        names: Their names, or one; None takes all.

    Raises:
        UsageError: If a name is not one of a metric of this task.
    """
    known = METRICS[task]
    chosen = (names,) if isinstance(names, str) else tuple(known if names is None else names)
    wrong = [name for name in chosen if name not in known]
    if wrong:
        raise UsageError(f"there is no metric {wrong[0]!r} of a {task.value}", hint=f"There are: {', '.join(known)}.")
    return tuple(known[name] for name in chosen)
