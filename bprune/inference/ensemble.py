"""A run of one network, or of the members of an ensemble, by this process or by workers.

With a fixed number of draws members are runs of their own, one after the other. Where draws end when the mixture is
settled, all members draw an example together; a worker then gets a range of examples, and makes all their engines.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from bprune.arrays import AnyArray
from bprune.case.task import Task
from bprune.engines.choose import Prepared
from bprune.inference.adaptive import Summary, settle_members
from bprune.inference.amount import Amount
from bprune.inference.dispatch import RunSink, check_divisible, run, shares_of
from bprune.inference.kept import KeptSummaries
from bprune.inference.progress import Progress, no_progress, parts_of
from bprune.inference.recipe import Recipe
from bprune.inference.run import smallest
from bprune.inference.share import begin
from bprune.scale.divide import Share
from bprune.scale.worker import go_on, kept, working
from bprune.scale.workers import Workers

__all__ = ["run_members", "settle_share"]


def run_members(
    members: Sequence[Prepared],
    inputs: AnyArray,
    labels: AnyArray | None,
    amount: Amount,
    *,
    sinks: Sequence[RunSink],
    workers: Workers | None = None,
    progress: Progress = no_progress,
) -> None:
    """Run all draws of all examples by every member; the arguments are those of `bprune.inference.dispatch.run`.

    Args:
        members: The engine of each member; one network is an ensemble of one.
        inputs: `[example, ...]`, as the networks take them.
        labels: Labels or targets, which the likelihood of a regression needs; or None.
        amount: How many draws, of each member.
        sinks: Where the results of each member go.
        workers: Who works; None for this process.
        progress: Told after every piece of work.

    Raises:
        UsageError: If there is half a pair, or the noise of an engine cannot be divided.
        EngineError: If a network cannot be run, or a worker is lost.
        SelfCheckError: If a value is not finite.
        OutputError: If a sink cannot write.
    """
    if amount.stopping is None or len(members) == 1:
        tellers = parts_of(progress, len(members))
        for member, sink, tell in zip(members, sinks, tellers, strict=True):
            run(member, inputs, labels, amount, sink=sink, workers=workers, progress=tell)
    elif workers is None:
        _settle(members, inputs, labels, amount, len(inputs), sinks=sinks, progress=progress)
    else:
        _settle_by_workers(members, inputs, labels, amount, sinks=sinks, workers=workers, progress=progress)


def _settle(
    members: Sequence[Prepared],
    inputs: AnyArray,
    labels: AnyArray | None,
    amount: Amount,
    examples: int,
    *,
    sinks: Sequence[RunSink],
    first: int = 0,
    progress: Progress = no_progress,
) -> None:
    """Draw some of the examples of a run, from `first` on, until their mixture is settled."""
    assert amount.stopping is not None
    settle_members(
        [member.engine for member in members],
        inputs,
        labels,
        members[0].origin.case.task,
        stopping=amount.stopping,
        blocks=smallest([amount.blocks(member.engine, examples) for member in members]),
        sinks=sinks,
        paired=amount.paired,
        first_example=first,
        progress=progress,
    )


def _settle_by_workers(
    members: Sequence[Prepared],
    inputs: AnyArray,
    labels: AnyArray | None,
    amount: Amount,
    *,
    sinks: Sequence[RunSink],
    workers: Workers,
    progress: Progress,
) -> None:
    for member in members:
        check_divisible(member)
        member.engine.prepare(len(inputs))
    recipes = tuple(
        Recipe.of(member.origin, len(inputs), engine=member.engine, paired=amount.paired) for member in members
    )
    shares = shares_of(members[0].engine, len(inputs), amount, workers=workers.count)
    targets = labels if members[0].origin.case.task is Task.REGRESSION else None
    calls = ((recipes, amount, share, inputs[share.start : share.stop], _part(targets, share)) for share in shares)
    done = workers.results(settle_share, calls)
    for number, (share, found) in enumerate(zip(shares, done, strict=True), start=1):
        for sink, (summary, counts) in zip(sinks, found, strict=True):
            sink.add_summary(share.start, summary, draws=counts)
        progress(number / len(shares))


def _part(values: AnyArray | None, share: Share) -> AnyArray | None:
    return None if values is None else values[share.start : share.stop]


def settle_share(
    recipes: tuple[Recipe, ...], amount: Amount, share: Share, inputs: AnyArray, labels: AnyArray | None
) -> list[tuple[Summary, AnyArray]]:
    """Draw some examples in a worker until their mixture is settled; it keeps its engines for the next share.

    Args:
        recipes: The engine of each member.
        amount: How many draws the whole run makes.
        share: Which examples.
        inputs: Their inputs, `[example, ...]`.
        labels: Their labels, where statistics need them.

    Returns:
        The summary by each member, and the number of draws of each example.

    Raises:
        InputError: If a case is not what it was any more.
        EngineError: If a network cannot be run, or an engine is another one here.
        SelfCheckError: If a value is not finite.
    """
    begin()
    key = hashlib.sha256("".join(recipe.digest for recipe in recipes).encode()).hexdigest()
    with working:
        members = kept(key, lambda: [recipe.prepare() for recipe in recipes])
        sinks = [KeptSummaries(amount.mc_iters) for _ in members]
        _settle(members, inputs, labels, amount, recipes[0].examples, sinks=sinks, first=share.start, progress=go_on)
        return [(sink.summary(), sink.counts()) for sink in sinks]
