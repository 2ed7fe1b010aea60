"""A run, by this process or by workers: the same draws, the same statistics, to the last bit.

A run is a grid of examples and draws. A share of it goes to one worker; what comes back is put together in the order of
examples, and where draws were divided their statistics are added up in the order of draws, as one process does.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from bprune.arrays import AnyArray
from bprune.case.task import Task
from bprune.engines.base import Draws, Engine, Sampling
from bprune.engines.choose import Prepared
from bprune.errors import UsageError
from bprune.inference.adaptive import Summary, group_size, run_until_settled
from bprune.inference.amount import Amount
from bprune.inference.progress import Progress, no_progress
from bprune.inference.recipe import Recipe
from bprune.inference.run import Moments, more_draws, run_draws, start_moments
from bprune.inference.share import Done, run_share
from bprune.scale.divide import Share, divide
from bprune.scale.workers import Workers

__all__ = ["RunSink", "check_divisible", "is_divisible", "merge", "run", "shares_of"]

_SHARES = 4
"""Shares of a worker, at most, where results are small: progress is told with each."""
_DONE_BYTES = 64 << 20
"""What a share gives back at most, where shares can be that small."""
_SUMMARY_BYTES = 200
"""What statistics take per example and class or output, that of blocks of draws included."""


class RunSink(Protocol):
    """Where draws and summaries go."""

    def add(self, start: int, draws_start: int, draws: Draws) -> None:
        """Take some draws of the examples from `start` on."""
        ...

    def add_summary(self, start: int, summary: Summary, *, draws: AnyArray | None = None) -> None:
        """Take the summary of all draws of the examples from `start` on, and their numbers of draws."""
        ...


def run(
    prepared: Prepared,
    inputs: AnyArray,
    labels: AnyArray | None,
    amount: Amount,
    *,
    sink: RunSink,
    workers: Workers | None = None,
    progress: Progress = no_progress,
) -> None:
    """Run all draws of all examples and hand them on.

    Args:
        prepared: The engine.
        inputs: `[example, ...]`, as the network takes them.
        labels: Labels or targets, which the likelihood of a regression needs; or None.
        amount: How many draws.
        sink: Where the results go.
        workers: Who works; None for this process.
        progress: Told after every piece of work.

    Raises:
        UsageError: If there is half a pair, or the noise of the engine cannot be divided.
        EngineError: If the network cannot be run, or a worker is lost.
        SelfCheckError: If a value is not finite.
        OutputError: If the sink cannot write.
    """
    engine, task = prepared.engine, prepared.origin.case.task
    blocks = amount.blocks(engine, len(inputs))
    if workers is not None:
        check_divisible(prepared)
        recipe = Recipe.of(prepared.origin, len(inputs), engine=engine, paired=amount.paired)
        shares = shares_of(engine, len(inputs), amount, workers=workers.count)
        calls = calls_of(recipe, amount, shares, inputs, labels, task)
        done = workers.results(run_share, calls)
        merge(shares, done, labels, task, amount, sink=sink, progress=progress)
        return
    common: dict[str, Any] = {"blocks": blocks, "sink": sink, "paired": amount.paired, "progress": progress}
    if amount.stopping is None:
        run_draws(engine, inputs, labels, task, mc_iters=amount.mc_iters, **common)
    else:
        run_until_settled(engine, inputs, labels, task, stopping=amount.stopping, **common)


def is_divisible(prepared: Prepared) -> bool:
    """Whether draws may be made in any order and anywhere: the noise of the graph's own operations goes on."""
    return prepared.engine.sampling is not Sampling.AS_TRAINED


def check_divisible(prepared: Prepared) -> None:
    """Refuse an engine whose draws depend on the order of its calls.

    Raises:
        UsageError: If it is one.
    """
    if not is_divisible(prepared):
        why = f" ({prepared.plan.reason})" if prepared.plan.reason else ""
        raise UsageError(
            f"the engine {prepared.engine.name}, which runs here{why}, draws noise in the order of its calls, so that "
            "its draws cannot be divided among workers",
            hint="Run it in one process, without workers.",
        )


def shares_of(
    engine: Engine, examples: int, amount: Amount, *, workers: int, most: int | None = None
) -> tuple[Share, ...]:
    """How a run is divided.

    Args:
        engine: The engine, ready for these examples.
        examples: Number of examples.
        amount: How many draws.
        workers: How many shares are worked on at a time.
        most: How many shares there may be; None leaves it to what they give back.
    """
    stored = 4 * amount.mc_iters * engine.output_size if amount.stored else 0
    needed = math.ceil(examples * (stored + _SUMMARY_BYTES * engine.output_size) / _DONE_BYTES)
    return divide(
        examples,
        amount.mc_iters,
        workers=workers,
        most=max(_SHARES * workers, needed) if most is None else most,
        least=needed if most is None else 1,
        example_unit=engine.block if amount.stopping is None else group_size(engine),
        draw_unit=None if amount.stopping is not None else 2 if amount.paired else 1,
    )


def calls_of(
    recipe: Recipe,
    amount: Amount,
    shares: Sequence[Share],
    inputs: AnyArray,
    labels: AnyArray | None,
    task: Task,
) -> Iterator[tuple[Recipe, Amount, Share, AnyArray, AnyArray | None]]:
    """The arguments of `run_share` for each share."""
    targets = labels if task is Task.REGRESSION else None
    for share in shares:
        rows = slice(share.start, share.stop)
        yield recipe, amount, share, inputs[rows], None if targets is None else targets[rows]


def merge(
    shares: Sequence[Share],
    done: Iterator[Done],
    labels: AnyArray | None,
    task: Task,
    amount: Amount,
    *,
    sink: RunSink,
    progress: Progress = no_progress,
) -> None:
    """Put together what shares gave.

    Args:
        shares: The shares, by example and then by draw.
        done: What each gave, in the same order.
        labels: Labels or targets, which the likelihood of a regression needs; or None.
        task: What the network predicts.
        amount: How many draws the run makes.
        sink: Where the results go.
        progress: Told after every share.
    """
    moments: Moments | None = None
    for number, (share, part) in enumerate(zip(shares, done, strict=True), start=1):
        if part.draws is not None and amount.stored:
            sink.add(share.start, share.draws_start, part.draws)
        if part.summary is not None and amount.stopping is not None:
            sink.add_summary(share.start, part.summary, draws=part.counts)
        elif part.summary is not None:
            sink.add_summary(share.start, part.summary)
        else:
            moments = _added(moments, part.draws, share, labels, task, amount)
            if share.draws_stop == amount.mc_iters:
                sink.add_summary(share.start, moments.summary())
                moments = None
        progress(number / len(shares))


def _added(
    moments: Moments | None, draws: Draws | None, share: Share, labels: AnyArray | None, task: Task, amount: Amount
) -> Moments:
    """The statistics with the draws of one more share of the same examples."""
    assert draws is not None
    if moments is None:
        moments = start_moments(task, *draws.values.shape[1:], paired=amount.paired)
    targets = None if labels is None else labels[share.start : share.stop]
    return more_draws(moments, draws, targets, share.draws_start)
