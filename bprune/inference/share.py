"""A share of a run: some draws of some examples, in whatever process it is called."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass

from bprune.arrays import AnyArray, read_only
from bprune.case.task import Task
from bprune.engines.base import Draws, Engine
from bprune.engines.choose import EngineName, Prepared
from bprune.inference.adaptive import Summary, run_until_settled
from bprune.inference.amount import Amount
from bprune.inference.kept import KeptDraws, KeptSummaries
from bprune.inference.progress import Progress
from bprune.inference.recipe import Recipe
from bprune.inference.run import Blocks, run_draws
from bprune.scale.divide import Share
from bprune.scale.worker import go_on, kept, working
from bprune.start import start_tensorflow

__all__ = ["Done", "begin", "do_share", "prepared_for", "run_share"]


@dataclass(frozen=True, eq=False)
class Done:
    """What a share gives.

    Attributes:
        draws: The draws `[draw, example, class or output]`; None where the summary says all that is wanted.
        summary: Statistics over all draws of each example; None where the share has not all of them.
        counts: Number of draws of each example, `[example]`, or None like the summary.
        size: The numbers of `bprune.engines.plan.Plan.after`.
    """

    draws: Draws | None
    summary: Summary | None
    counts: AnyArray | None
    size: Mapping[str, int]


def begin() -> None:
    """Import what a share needs, while the process that hands them out makes itself ready."""
    if "tensorflow" not in sys.modules:
        with start_tensorflow(show=False):
            import bprune.engines.native  # noqa: F401


def run_share(recipe: Recipe, amount: Amount, share: Share, inputs: AnyArray, labels: AnyArray | None) -> Done:
    """Run a share in a worker, which keeps its engine for the next one.

    Args:
        recipe: The engine.
        amount: How many draws the whole run makes.
        share: Which of them.
        inputs: The inputs of the share's examples, `[example, ...]`.
        labels: Their labels, where statistics need them.

    Raises:
        InputError: If the case is not what it was any more.
        EngineError: If the network cannot be run, or the engine is another one here.
        SelfCheckError: If a value is not finite.
    """
    begin()
    with working:
        prepared = prepared_for(recipe)
        draws, summary, counts = do_share(
            prepared.engine, prepared.origin.case.task, recipe.examples, amount, share, inputs, labels, go_on
        )
        return Done(draws, summary, counts, dict(prepared.plan.after))


def prepared_for(recipe: Recipe) -> Prepared:
    """The engine of a recipe, as it is at first; it is kept for another share, but for the graph's.

    Raises:
        InputError: If the case is not what it was any more.
        EngineError: If the engine is another one here.
    """
    is_graph = recipe.engine == EngineName.GRAPH.value  # its noise goes on from call to call
    return recipe.prepare() if is_graph else kept(recipe.digest, recipe.prepare)


def do_share(
    engine: Engine,
    task: Task,
    examples: int,
    amount: Amount,
    share: Share,
    inputs: AnyArray,
    labels: AnyArray | None,
    progress: Progress,
) -> tuple[Draws | None, Summary | None, AnyArray | None]:
    """Run a share with an engine that is ready; see `run_share`."""
    blocks, draws = amount.blocks(engine, examples), range(share.draws_start, share.draws_stop)
    if len(draws) < amount.mc_iters:
        return _draw(engine, inputs, draws, share.start, blocks, progress), None, None
    kept_draws = KeptDraws(share.start, len(inputs), draws)
    sink = kept_draws if amount.stored else KeptSummaries(amount.mc_iters)
    if amount.stopping is None:
        run_draws(
            engine,
            inputs,
            labels,
            task,
            mc_iters=amount.mc_iters,
            blocks=blocks,
            sink=sink,
            paired=amount.paired,
            first_example=share.start,
            progress=progress,
        )
    else:
        run_until_settled(
            engine,
            inputs,
            labels,
            task,
            stopping=amount.stopping,
            blocks=blocks,
            sink=sink,
            paired=amount.paired,
            first_example=share.start,
            progress=progress,
        )
    return kept_draws.draws() if amount.stored else None, sink.summary(), sink.counts()


def _draw(engine: Engine, inputs: AnyArray, draws: range, first: int, blocks: Blocks, progress: Progress) -> Draws:
    """Some draws of each example, without statistics."""
    sink, inputs = KeptDraws(first, len(inputs), draws), read_only(inputs)
    for start in range(0, len(inputs), blocks.examples):
        block = inputs[start : start + blocks.examples]
        for number in range(draws.start, draws.stop, blocks.draws):
            numbers = range(number, min(number + blocks.draws, draws.stop))
            sink.add(first + start, number, engine.draw(block, numbers, first + start))
            progress((start + len(block) * ((numbers.stop - draws.start) / len(draws))) / len(inputs))
    return sink.draws()
