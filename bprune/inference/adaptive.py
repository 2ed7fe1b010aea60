"""The MC run that ends for each example when its prediction is settled.

The prediction of an ensemble is the mixture of its members, and so is what is tested: draw s of the ensemble is the
mean over members of their draws s. These means are independent and have the mixture's mean, which is all that the tests
ask for. An example has the same number of draws of every member.
"""

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
from bprune.inference.spread import Spread
from bprune.inference.statistics import ClassificationSummary, RegressionSummary
from bprune.inference.stopping import SequentialTest, Stopping, looks
from bprune.metrics.predictions import average

__all__ = ["CountingSink", "DrawsSome", "Summary", "group_size", "run_until_settled", "settle_members"]

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
        moments: Their statistics, of each member.
        mixture: The spread of the means over members; None where there is one member.
        test: Their test.
    """

    examples: AnyArray
    moments: tuple[Moments, ...]
    mixture: Spread | None
    test: SequentialTest

    @property
    def spread(self) -> Spread:
        """What the test looks at; the mean is that of the summary, so that both name the same class."""
        if self.mixture is None:
            return self.moments[0].spread
        return replace(self.mixture, mean=average([item.spread.mean.astype(np.float32) for item in self.moments]))

    def take(self, rows: AnyArray) -> _State:
        """Some of them."""
        mixture = None if self.mixture is None else self.mixture.take(rows)
        return _State(
            self.examples[rows], tuple(item.take(rows) for item in self.moments), mixture, self.test.take(rows)
        )


class _Run:
    """The arguments of a run, and one of its steps."""

    def __init__(
        self,
        engines: Sequence[Engine],
        inputs: AnyArray,
        labels: AnyArray | None,
        blocks: Blocks,
        paired: bool,
        first: int,
    ) -> None:
        self._engines, self._inputs, self._labels = engines, inputs, labels
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
        moments, mixture, test = state.moments, state.mixture, state.test
        at_once = self._draws_at_once(len(inputs))
        for first in range(draws.start, draws.stop, at_once):
            numbers = range(first, min(first + at_once, draws.stop))
            made = [_draw(engine, inputs, numbers, state.examples) for engine in self._engines]
            moments = tuple(more_draws(item, draws, targets, first) for item, draws in zip(moments, made, strict=True))
            values = made[0].values
            if mixture is not None:
                values = average([item.values for item in made])
                mixture = mixture.update(values)
            test = test.update(_pair_means(values) if self._paired else values)
        return _State(state.examples, moments, mixture, test)

    def _draws_at_once(self, examples: int) -> int:
        """Few examples take more draws in one call; all calls need about the same memory."""
        draws = min(self._blocks.draws * self._blocks.examples // examples, _MOST_DRAWS)
        return max(self._blocks.draws, draws - draws % 2)


def _draw(engine: Engine, inputs: AnyArray, draws: range, examples: AnyArray) -> Draws:
    if isinstance(engine, DrawsSome):
        return engine.draw_some(inputs, draws, examples)
    return engine.draw(inputs, draws, int(examples[0]))  # noise does not depend on the example's number


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
    settle_members(
        [engine],
        inputs,
        labels,
        task,
        stopping=stopping,
        blocks=blocks,
        sinks=[sink],
        paired=paired,
        first_example=first_example,
        progress=progress,
    )


def settle_members(
    engines: Sequence[Engine],
    inputs: AnyArray,
    labels: AnyArray | None,
    task: Task,
    *,
    stopping: Stopping,
    blocks: Blocks,
    sinks: Sequence[CountingSink],
    paired: bool = False,
    first_example: int = 0,
    progress: Progress = no_progress,
) -> None:
    """Draw every example by every member of an ensemble until the mixture is settled; see `run_until_settled`.

    Args:
        engines: The engine of each member.
        inputs: See `run_until_settled`.
        labels: See `run_until_settled`.
        task: See `run_until_settled`.
        stopping: See `run_until_settled`.
        blocks: How to divide the work; for all members.
        sinks: Where the results of each member go.
        paired: See `run_until_settled`.
        first_example: See `run_until_settled`; the group is that of the first member's engine.
        progress: See `run_until_settled`.

    Raises:
        UsageError: If the rule does not fit the task, or there is half a pair.
        EngineError: If a network cannot be run.
        SelfCheckError: If a value is not finite.
        OutputError: If a sink cannot write.
    """
    run = _Run(engines, inputs, labels, blocks, paired, first_example)
    size, first, outputs = group_size(engines[0]), first_example, engines[0].output_size
    for start in range(first, first + len(inputs), size):
        numbers = np.arange(start, min(start + size, first + len(inputs)))
        moments = tuple(start_moments(task, len(numbers), outputs, paired=paired) for _ in engines)
        mixture = Spread.start(len(numbers), outputs, paired=paired) if len(engines) > 1 else None
        state = _State(numbers, moments, mixture, stopping.start(task, len(numbers), outputs))

        def tell(share: float, start: int = start, examples: int = len(numbers)) -> None:
            progress((start - first + examples * share) / len(inputs))

        summaries, counts = _settle(run, state, stopping.max_mc_iters, tell)
        for sink, summary in zip(sinks, summaries, strict=True):
            sink.add_summary(start, summary, draws=counts)


def _settle(run: _Run, state: _State, largest: int, progress: Progress) -> tuple[tuple[Summary, ...], AnyArray]:
    """Draw until all examples of a state are settled; their summary by each member, and the number of draws of each."""
    examples, first, made = len(state.examples), int(state.examples[0]), 0
    counts = np.zeros(examples, np.int64)
    done: list[tuple[AnyArray, tuple[Summary, ...]]] = []
    for number, look in enumerate(looks(largest), start=1):
        state = run.advance(state, range(made, look))
        made = look
        test, ends = state.test.look(state.spread, number)
        state, ends = replace(state, test=test), ends | (look == largest)
        if ends.any():
            ended = state.take(np.flatnonzero(ends))
            counts[ended.examples - first] = look
            done.append((ended.examples, tuple(item.summary() for item in ended.moments)))
            state = state.take(np.flatnonzero(~ends))
        progress(1.0 - len(state.examples) / examples * (1.0 - look / largest))
        if not len(state.examples):
            break
    order = np.argsort(np.concatenate([numbers for numbers, _ in done]))
    members = _joined([summaries for _, summaries in done])
    return tuple(_rows(summary, order) for summary in members), counts


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
