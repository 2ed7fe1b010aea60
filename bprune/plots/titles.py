"""How metrics are called on axes."""

from __future__ import annotations

from bprune.case.task import Task
from bprune.metrics.registry import METRICS

__all__ = ["metric_title"]


def metric_title(task: str, name: str) -> str:
    """The title of a metric, with its unit."""
    metric = METRICS[Task(task)].get(name)
    if metric is None:
        return name.replace("_", " ")
    unit = "" if metric.unit in {"1", "target"} else f" [{metric.unit}]"
    return f"{metric.title}{unit}"
