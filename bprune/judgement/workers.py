"""Points of a sweep by workers; their values are those of one process."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from bprune.engines.choose import Prepared
from bprune.inference.dispatch import is_divisible
from bprune.inference.predict import predictions_of
from bprune.inference.recipe import Recipe
from bprune.inference.share import Done, run_share
from bprune.judgement.levels import Level
from bprune.judgement.measure import Study, measure_level
from bprune.judgement.sweep import SweepPoint
from bprune.scale.divide import Share
from bprune.scale.workers import Workers

__all__ = ["measure_by_workers"]


def measure_by_workers(
    study: Study, whole: Prepared, levels: Sequence[Level], workers: Workers
) -> Iterator[SweepPoint]:
    """Measure points, in their order; a point goes to one worker, or is divided where there are more workers.

    Args:
        study: What all points have in common, the reference included.
        whole: The engine of the whole network.
        levels: The networks.
        workers: Who works.

    Raises:
        EngineError: If a worker is lost.
        BPruneError: What a point raises.
    """
    if len(levels) < workers.count and is_divisible(whole):
        for level in levels:
            prepared = study.prepare(level)
            yield measure_level(study, level, prepared.plan.after, study.predict(prepared, workers=workers))
        return
    amount, data = study.draws.amount, study.data
    share = Share(0, len(data), 0, amount.mc_iters)
    calls = (
        (
            Recipe.of(replace(whole.origin, masks=level.masks), len(data), paired=amount.paired),
            amount,
            share,
            data.inputs,
            data.labels,
        )
        for level in levels
    )
    done: Iterator[Done] = workers.results(run_share, calls)
    for level, part in zip(levels, done, strict=True):
        assert part.summary is not None
        assert part.counts is not None
        predictions = predictions_of(part.summary, part.counts, paired=amount.paired)
        yield measure_level(study, level, part.size, predictions)
