"""MC inference that keeps nothing but predictions: the mean over draws of each example, and over blocks of draws."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from bprune.arrays import AnyArray
from bprune.engines.choose import Prepared
from bprune.inference.amount import Amount
from bprune.inference.dispatch import run
from bprune.inference.kept import KeptSummaries
from bprune.inference.progress import Progress, no_progress
from bprune.inference.statistics import ClassificationSummary, RegressionSummary
from bprune.metrics.blocks import block_draws
from bprune.metrics.predictions import ClassPredictions, Predictions, ValuePredictions
from bprune.scale.workers import Workers

__all__ = ["mixture_of", "predict", "predictions_of"]


def predict(
    prepared: Prepared,
    inputs: AnyArray,
    labels: AnyArray | None,
    amount: Amount,
    *,
    workers: Workers | None = None,
    progress: Progress = no_progress,
) -> Predictions:
    """Run all draws of all examples and keep what metrics need.

    Args:
        prepared: The engine.
        inputs: `[example, ...]`, as the network takes them.
        labels: Labels or targets, which the likelihood of a regression needs; or None.
        amount: How many draws.
        workers: Who works; None for this process.
        progress: Told the share of the work that is done.

    Returns:
        The predictions, with blocks of draws; no array of draws is made.

    Raises:
        UsageError: If there is half a pair, or the rule does not fit the task.
        EngineError: If the network cannot be run, or a worker is lost.
        SelfCheckError: If a value is not finite.

    Example:
        >>> evaluate(predict(prepared, inputs, labels, Amount(400)), labels)["accuracy"]
    """
    sink = KeptSummaries(amount.mc_iters)
    run(prepared, inputs, labels, amount, sink=sink, workers=workers, progress=progress)
    return predictions_of(sink.summary(), sink.counts(), paired=amount.paired)


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


def mixture_of(members: Sequence[Predictions]) -> Predictions:
    """The predictions of an ensemble, every member with the same weight.

    Args:
        members: Those of its members; see `bprune.metrics.predictions.ClassPredictions.mixture`.
    """
    kind: Any = type(members[0])
    mixed: Predictions = kind.mixture(members)
    return mixed


def _blocks_first(values: AnyArray | None) -> Any:
    """`[block, example, ...]` of `[example, block, ...]`."""
    return None if values is None else np.swapaxes(values, 0, 1)
