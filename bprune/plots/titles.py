"""How metrics are called on axes."""

from __future__ import annotations

__all__ = ["metric_title"]


def metric_title(task: str, name: str) -> str:
    """The title of a metric, with its unit."""
    return name.replace("_", " ")
