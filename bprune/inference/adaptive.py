"""The MC run that ends for each example when its prediction is settled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, Protocol, runtime_checkable

import numpy as np

from bprune.arrays import AnyArray, FloatArray
from bprune.case.task import Task
from bprune.engines.base import Draws, Engine
from bprune.inference.progress import Progress, no_progress
from bprune.inference.run import Blocks, Moments, more_draws, start_moments
from bprune.inference.statistics import ClassificationSummary, RegressionSummary
from bprune.inference.stopping import SequentialTest, Stopping, looks

__all__ = ["CountingSink", "DrawsSome", "Summary", "group_size", "run_until_settled"]

_STATE_BYTES = 64 << 20
_GROUP = 2048
_MOST_DRAWS = 256

Summary = ClassificationSummary | RegressionSummary
"""The statistics of either task."""


class CountingSink(Protocol):
    """Where summaries go, with the number of draws that each example took."""

    def add_summary(self, start: int, summary: Summary, *, draws: AnyArray) -> None:
        """Take the summary of the examples from `start` on, and their numbers of draws, `[example]`."""
        ...


@runtime_checkable
class DrawsSome(Protocol):
    """An engine whose examples have noise of their own, and may be drawn in any company."""

    def draw_some(self, inputs: AnyArray, draws: range, numbers: AnyArray) -> Draws:
        """Run some draws of the examples with these numbers in the run, `[example]`."""
        ...


@dataclass(frozen=True)
class _State:
    """What is known of examples that go on.

    Attributes:
        examples: Their numbers in the run, `[example]`.
        moments: Their statistics.
        test: Their test.
    """

    examples: AnyArray
    moments: Moments
    test: SequentialTest

    def take(self, rows: AnyArray) -> _State:
        """Some of them."""
        return _State(self.examples[rows], self.moments.take(rows), self.test.take(rows))


class _Run:
    """The arguments of a run, and one of its steps."""

    def __init__(
        self, engine: Engine, inputs: AnyArray, labels: AnyArray | None, blocks: Blocks, paired: bool, first: int
    ) -> None:
        self._engine, self._inputs, self._labels = engine, inputs, labels
        self._blocks, self._paired, self._first = blocks, paired, first

    def advance(self, state: _State, draws: range) -> _State:
        """More draws of all examples of a state; those that go on are run together, so that batches are full."""
        size = self._blocks.examples
        starts = range(0, len(state.examples), size)
        rows = (np.arange(start, min(start + size, len(state.examples))) for start in starts)
        joined: _State = _joined([self._advance_batch(state.take(part), draws) for part in rows])
        return joined

    def _advance_batch(self, state: _State, draws: range) -> _State:
        rows = state.examples - self._first
        inputs, targets = self._inputs[rows], None if self._labels is None else self._labels[rows]
        moments, test = state.moments, state.test
        at_once = self._draws_at_once(len(inputs))
        for first in range(draws.start, draws.stop, at_once):
            numbers = range(first, min(first + at_once, draws.stop))
            made = self._draw(inputs, numbers, state.examples)
            moments = more_draws(moments, made, targets, first)
            test = test.update(_pair_means(made.values) if self._paired else made.values)
        return _State(state.examples, moments, test)

    def _draws_at_once(self, examples: int) -> int:
        """Few examples take more draws in one call; all calls need about the same memory."""
        draws = min(self._blocks.draws * self._blocks.examples // examples, _MOST_DRAWS)
        return max(self._blocks.draws, draws - draws % 2)

    def _draw(self, inputs: AnyArray, draws: range, examples: AnyArray) -> Draws:
        if isinstance(self._engine, DrawsSome):
            return self._engine.draw_some(inputs, draws, examples)
        return self._engine.draw(inputs, draws, int(examples[0]))  # noise does not depend on the example's number


def group_size(engine: Engine) -> int:
    """How many examples are settled together: those that go on are drawn in one another's company.

    Rounding in products depends on that company, and so it is a function of the network and the number of examples
    alone, and a run is divided between such groups.
    """
    fitting = max(1, _STATE_BYTES // (8 * engine.output_size * engine.block))
    return min(fitting, max(1, round(_GROUP / engine.block))) * engine.block


def run_until_settled(
    engine: Engine,
    inputs: AnyArray,
    labels: AnyArray | None,
    task: Task,
    *,
    stopping: Stopping,
    blocks: Blocks,
    sink: CountingSink,
    paired: bool = False,
    first_example: int = 0,
    progress: Progress = no_progress,
) -> None:
    """Draw every example until it is settled, and hand on the summaries.

    An example's draws, and so its decision, are its own: with the engines of lowered programs they depend on the seed
    and the example, up to rounding in products and sums.

    Args:
        engine: The engine, prepared.
        inputs: `[example, ...]`, as the network takes them.
        labels: Labels or targets, which the likelihood of a regression needs; or None.
        task: What the network predicts.
        stopping: When the draws of an example end.
        blocks: How to divide the work.
        sink: Where the results go.
        paired: Whether the engine draws antithetic pairs.
        first_example: The number of the first of these examples in the whole run, a multiple of `group_size`.
        progress: Told after every look.

    Raises:
        UsageError: If the rule does not fit the task, or there is half a pair.
        EngineError: If the network cannot be run.
        SelfCheckError: If a value is not finite.
        OutputError: If the sink cannot write.
    """
    run = _Run(engine, inputs, labels, blocks, paired, first_example)
    size, first = group_size(engine), first_example
    for start in range(first, first + len(inputs), size):
        numbers = np.arange(start, min(start + size, first + len(inputs)))
        moments = start_moments(task, len(numbers), engine.output_size, paired=paired)
        state = _State(numbers, moments, stopping.start(task, len(numbers), engine.output_size))

        def tell(share: float, start: int = start, examples: int = len(numbers)) -> None:
            progress((start - first + examples * share) / len(inputs))

        summary, counts = _settle(run, state, stopping.max_mc_iters, tell)
        sink.add_summary(start, summary, draws=counts)


def _settle(run: _Run, state: _State, largest: int, progress: Progress) -> tuple[Summary, AnyArray]:
    """Draw until all examples of a state are settled; their summary, and the number of draws of each."""
    examples, first, made = len(state.examples), int(state.examples[0]), 0
    counts = np.zeros(examples, np.int64)
    done: list[tuple[AnyArray, Summary]] = []
    for number, look in enumerate(looks(largest), start=1):
        state = run.advance(state, range(made, look))
        made = look
        test, ends = state.test.look(state.moments.spread, number)
        state, ends = replace(state, test=test), ends | (look == largest)
        if ends.any():
            ended = state.take(np.flatnonzero(ends))
            counts[ended.examples - first] = look
            done.append((ended.examples, ended.moments.summary()))
            state = state.take(np.flatnonzero(~ends))
        progress(1.0 - len(state.examples) / examples * (1.0 - look / largest))
        if not len(state.examples):
            break
    order = np.argsort(np.concatenate([numbers for numbers, _ in done]))
    return _rows(_joined([summary for _, summary in done]), order), counts


def _pair_means(values: FloatArray) -> FloatArray:
    return np.asarray((values[::2] + values[1::2]) / np.float32(2.0))


def _joined(parts: Sequence[Any]) -> Any:
    """Records of the same kind, their arrays one after the other; what is no array is the same in all."""
    first: Any = parts[0]
    if isinstance(first, np.ndarray):
        return np.concatenate(parts)
    if isinstance(first, tuple):
        return tuple(_joined(items) for items in zip(*parts, strict=True))
    if not is_dataclass(first):
        return first
    kind: Any = type(first)
    return kind(**{item.name: _joined([getattr(part, item.name) for part in parts]) for item in fields(first)})


def _rows(summary: Summary, rows: AnyArray) -> Summary:
    """The summary of some examples."""
    kind: Any = type(summary)
    columns = {item.name: getattr(summary, item.name) for item in fields(summary)}
    taken: Summary = kind(**{name: None if item is None else item[rows] for name, item in columns.items()})
    return taken
