"""MC inference that keeps nothing but the scores."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np

from bprune.arrays import AnyArray
from bprune.case.task import Task
from bprune.engines.base import Draws, Engine
from bprune.errors import UsageError
from bprune.inference.progress import Progress, no_progress
from bprune.inference.run import Blocks, run_draws
from bprune.inference.statistics import (
    ClassificationSummary,
    RegressionSummary,
    Scores,
    classification_scores,
    regression_scores,
)

__all__ = ["score_draws", "scores_of"]


class _Summaries:
    """A sink that drops the draws and joins the summaries."""

    def __init__(self) -> None:
        self.parts: list[ClassificationSummary | RegressionSummary] = []

    def add(self, start: int, draws_start: int, draws: Draws) -> None:
        """Drop the draws."""

    def add_summary(self, start: int, summary: ClassificationSummary | RegressionSummary) -> None:
        """Keep the summary; blocks come in order."""
        self.parts.append(summary)

    def joined(self) -> ClassificationSummary | RegressionSummary:
        """The summary of all examples."""
        first = self.parts[0]
        columns: dict[str, Any] = {}
        for item in fields(first):
            values = [getattr(part, item.name) for part in self.parts]
            columns[item.name] = None if values[0] is None else np.concatenate(values)
        return type(first)(**columns)


def score_draws(
    engine: Engine,
    inputs: AnyArray,
    labels: AnyArray,
    task: Task,
    *,
    mc_iters: int,
    blocks: Blocks,
    progress: Progress = no_progress,
) -> Scores:
    """Run all draws and score the mean prediction; the arguments are those of `run_draws`."""
    sink = _Summaries()
    run_draws(engine, inputs, labels, task, mc_iters=mc_iters, blocks=blocks, sink=sink, progress=progress)
    return scores_of(sink.joined(), labels)


def scores_of(summary: ClassificationSummary | RegressionSummary, labels: AnyArray) -> Scores:
    """The scores of a summary, whatever the task.

    Raises:
        InputError: If the labels do not fit.
    """
    if isinstance(summary, ClassificationSummary):
        return classification_scores(summary, labels)
    if isinstance(summary, RegressionSummary):
        return regression_scores(summary, labels)
    raise UsageError(f"{type(summary).__name__} cannot be scored")
