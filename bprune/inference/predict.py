"""MC inference that keeps nothing but predictions: the mean over draws of each example, and over blocks of draws."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np

from bprune.arrays import AnyArray
from bprune.case.task import Task
from bprune.engines.base import Draws, Engine
from bprune.inference.adaptive import run_until_settled
from bprune.inference.progress import Progress, no_progress
from bprune.inference.run import Blocks, run_draws
from bprune.inference.statistics import ClassificationSummary, RegressionSummary
from bprune.inference.stopping import Stopping
from bprune.metrics.blocks import block_draws
from bprune.metrics.predictions import ClassPredictions, Predictions, ValuePredictions

__all__ = ["predict", "predictions_of"]


class _Summaries:
    """A sink that drops the draws and joins the summaries.

    Args:
        mc_iters: Draws of each example, where nothing else is said.
    """

    def __init__(self, mc_iters: int) -> None:
        self._mc_iters = mc_iters
        self.parts: list[ClassificationSummary | RegressionSummary] = []
        self.draws: list[AnyArray] = []

    def add(self, start: int, draws_start: int, draws: Draws) -> None:
        """Drop the draws."""

    def add_summary(
        self, start: int, summary: ClassificationSummary | RegressionSummary, *, draws: AnyArray | None = None
    ) -> None:
        """Keep the summary; blocks come in order."""
        self.parts.append(summary)
        self.draws.append(np.full(len(summary.mean), self._mc_iters) if draws is None else draws)

    def joined(self) -> ClassificationSummary | RegressionSummary:
        """The summary of all examples."""
        first = self.parts[0]
        columns: dict[str, Any] = {}
        for item in fields(first):
            values = [getattr(part, item.name) for part in self.parts]
            columns[item.name] = None if values[0] is None else np.concatenate(values)
        return type(first)(**columns)


def predict(
    engine: Engine,
    inputs: AnyArray,
    labels: AnyArray | None,
    task: Task,
    *,
    mc_iters: int,
    blocks: Blocks,
    stopping: Stopping | None = None,
    paired: bool = False,
    progress: Progress = no_progress,
) -> Predictions:
    """Run all draws of all examples and keep what metrics need; the arguments are those of `run_draws`.

    Where `stopping` says when the draws of an example end, `mc_iters` has no effect; see `run_until_settled`.

    Returns:
        The predictions, with blocks of draws; no array of draws is made.

    Raises:
        UsageError: If there is half a pair, or the rule does not fit the task.
        EngineError: If the network cannot be run.
        SelfCheckError: If a value is not finite.

    Example:
        >>> evaluate(predict(engine, inputs, labels, task, mc_iters=400, blocks=blocks), labels)["accuracy"]
    """
    sink = _Summaries(mc_iters)
    common: dict[str, Any] = {"blocks": blocks, "sink": sink, "paired": paired, "progress": progress}
    if stopping is None:
        run_draws(engine, inputs, labels, task, mc_iters=mc_iters, **common)
    else:
        run_until_settled(engine, inputs, labels, task, stopping=stopping, **common)
    return predictions_of(sink.joined(), np.concatenate(sink.draws), paired=paired)


def predictions_of(
    summary: ClassificationSummary | RegressionSummary, draws: AnyArray, *, paired: bool = False
) -> Predictions:
    """What metrics need of a summary.

    Args:
        summary: The statistics of some examples.
        draws: Number of draws of each example, `[example]`.
        paired: Whether draws are antithetic pairs.

    Returns:
        The predictions; without blocks where the summary has none, as in files of older versions.
    """
    counts = None if summary.block_mean is None else block_draws(draws, paired=paired)
    if isinstance(summary, RegressionSummary):
        return ValuePredictions(
            summary.mean,
            np.square(summary.aleatoric_stddev, dtype=np.float64),
            np.square(summary.epistemic_stddev, dtype=np.float64),
            summary.log_likelihood,
            block_mean=_blocks_first(summary.block_mean),
            block_noise_variance=_blocks_first(summary.block_noise_variance),
            block_squares=_blocks_first(summary.block_squares),
            block_log_likelihood=_blocks_first(summary.block_log_likelihood),
            block_draws=counts,
        )
    vote_share = block_vote_share = None
    if summary.block_votes is not None and counts is not None:
        vote_share = summary.block_votes.sum(axis=1) / counts.sum(axis=0)[:, None]
        block_vote_share = _blocks_first(summary.block_votes) / np.maximum(counts, 1)[..., None]
    return ClassPredictions(
        summary.mean,
        summary.expected_entropy,
        vote_share,
        block_mean=_blocks_first(summary.block_mean),
        block_expected_entropy=_blocks_first(summary.block_expected_entropy),
        block_vote_share=block_vote_share,
        block_draws=counts,
    )


def _blocks_first(values: AnyArray | None) -> Any:
    """`[block, example, ...]` of `[example, block, ...]`."""
    return None if values is None else np.swapaxes(values, 0, 1)
