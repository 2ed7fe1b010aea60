"""The MC run: S draws for every example, in blocks that fit in memory.

Source: Sharma and Jennings (2020), eq. 4: p(y|x) ~ 1/S sum_s p(y|x, theta_s), theta_s ~ q. Probabilities are averaged,
never logits.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from bprune.arrays import AnyArray, read_only
from bprune.case.task import Task
from bprune.engines.base import MOST_DRAWS, Draws, Engine
from bprune.errors import UsageError
from bprune.inference.progress import Progress, no_progress
from bprune.inference.statistics import (
    ClassificationMoments,
    ClassificationSummary,
    RegressionMoments,
    RegressionSummary,
)

__all__ = [
    "DEFAULT_MC_ITERS",
    "Blocks",
    "Moments",
    "Sink",
    "choose_blocks",
    "more_draws",
    "run_draws",
    "smallest",
    "start_moments",
]

Moments = ClassificationMoments | RegressionMoments
"""Running statistics of either task."""

DEFAULT_MC_ITERS = 400
"""Draws per example; the paper finds that at least 400 are needed."""

_ACTIVATION_BYTES = 512 << 20
_DRAWS_BYTES = 64 << 20
_STORED_BYTES = 96 << 20
"""What the stored draws of a block of examples take at most, where blocks can be that small: a file is written in
chunks that hold all draws of some examples, and what is not complete waits in memory."""
_MANY_DRAWS_BYTES = 8 << 20
"""What the draws of a call take at most where an engine makes more than usual."""
_LARGEST_BATCH = 8192
_MOST_BLOCKS = 32
_MOST_BLOCK_DRAWS = 256
"""What an engine with blocks does in one call: many blocks, since weights are drawn once for all of them, but not so
many that a signal or a progress display waits for long. A block is about 0.1 s at most."""


class Sink(Protocol):
    """Where draws and summaries go, block by block."""

    def add(self, start: int, draws_start: int, draws: Draws) -> None:
        """Take some draws of the block of examples that begins at `start`."""
        ...

    def add_summary(self, start: int, summary: ClassificationSummary | RegressionSummary) -> None:
        """Take the summary of all draws of the block of examples that begins at `start`."""
        ...


@dataclass(frozen=True)
class Blocks:
    """How a run is divided.

    Attributes:
        examples: Examples that are run together.
        draws: Draws that are made in one call of the engine.
    """

    examples: int
    draws: int

    def stored_at_once(self, mc_iters: int, outputs: int) -> int | None:
        """Draws that a chunk of a results file is to hold at most; None where all draws of a block fit in memory.

        Args:
            mc_iters: Draws per example.
            outputs: Numbers of an example in a draw.
        """
        return None if 4 * self.examples * mc_iters * outputs <= _STORED_BYTES else self.draws


def choose_blocks(
    engine: Engine,
    examples: int,
    mc_iters: int,
    batch_size: int | None = None,
    *,
    paired: bool = False,
    stored: bool = False,
) -> Blocks:
    """Divide a run so that one call fits in about half a gigabyte.

    Args:
        engine: The engine.
        examples: How many examples there are.
        mc_iters: Draws per example.
        batch_size: Examples that are run together; None chooses. An engine that runs blocks of a fixed size gets whole
            blocks.
        paired: Whether draws are antithetic pairs, which stay together.
        stored: Whether all draws are stored.

    Raises:
        UsageError: If the batch size is not at least 1.
    """
    if batch_size is not None and batch_size < 1:
        raise UsageError(f"the batch size {batch_size} must be at least 1")
    engine.prepare(examples)
    is_blocked = engine.block > 1
    largest = _MOST_BLOCKS * engine.block if is_blocked else _LARGEST_BATCH
    if stored:
        largest = min(largest, _STORED_BYTES // (4 * mc_iters * engine.output_size) // engine.block * engine.block)
    fitting = max(1, min(_ACTIVATION_BYTES // engine.example_bytes(), largest))
    count = min(examples, fitting if batch_size is None else batch_size)
    if batch_size is None:
        count = math.ceil(examples / math.ceil(examples / count))
    count = min(examples, math.ceil(count / engine.block) * engine.block)
    most = _MOST_BLOCK_DRAWS // math.ceil(count / engine.block) if is_blocked else MOST_DRAWS
    many = max(MOST_DRAWS, _MANY_DRAWS_BYTES // (4 * count * engine.output_size))
    most = min(most, many, engine.most_draws)
    draws = max(1, min(mc_iters, most, _DRAWS_BYTES // (4 * count * engine.output_size)))
    return Blocks(count, max(2, draws - draws % 2) if paired else draws)


def smallest(blocks: Sequence[Blocks]) -> Blocks:
    """The smallest of some divisions, where several engines work on the same examples and draws."""
    return Blocks(min(item.examples for item in blocks), min(item.draws for item in blocks))


def run_draws(
    engine: Engine,
    inputs: AnyArray,
    labels: AnyArray | None,
    task: Task,
    *,
    mc_iters: int,
    blocks: Blocks,
    sink: Sink,
    paired: bool = False,
    first_example: int = 0,
    progress: Progress = no_progress,
) -> None:
    """Run all draws of all examples and hand them on.

    Args:
        engine: The engine, prepared.
        inputs: `[example, ...]`, as the network takes them.
        labels: Labels or targets, which the likelihood of a regression needs; or None.
        task: What the network predicts.
        mc_iters: Draws per example, at least 1.
        blocks: How to divide the work.
        sink: Where the results go.
        paired: Whether the engine draws antithetic pairs; standard errors are then those of pair means.
        first_example: The number of the first of these examples in the whole run, a multiple of the engine's block.
        progress: Told after every call of the engine.

    Raises:
        UsageError: If there is half a pair.
        EngineError: If the network cannot be run.
        SelfCheckError: If a value is not finite.
        OutputError: If the sink cannot write.
    """
    examples, inputs = len(inputs), read_only(inputs)
    for start in range(0, examples, blocks.examples):
        block = inputs[start : start + blocks.examples]
        targets = labels[start : start + blocks.examples] if labels is not None else None
        moments = start_moments(task, len(block), engine.output_size, paired=paired)
        for first in range(0, mc_iters, blocks.draws):
            numbers = range(first, min(first + blocks.draws, mc_iters))
            draws = engine.draw(block, numbers, first_example + start)
            moments = more_draws(moments, draws, targets, first)
            sink.add(first_example + start, first, draws)
            progress((start + len(block) * (numbers.stop / mc_iters)) / examples)
        sink.add_summary(first_example + start, moments.summary())


def start_moments(task: Task, examples: int, outputs: int, *, paired: bool = False) -> Moments:
    """The statistics of no draws, for the task."""
    kind = RegressionMoments if task is Task.REGRESSION else ClassificationMoments
    return kind.start(examples, outputs, paired=paired)


def more_draws(moments: Moments, draws: Draws, targets: AnyArray | None, first: int) -> Moments:
    """The statistics with more draws, from number `first` on; `targets` are those of the examples, for regressions."""
    if isinstance(moments, RegressionMoments):
        return moments.update(draws, targets, first)
    return moments.update(draws, first)
