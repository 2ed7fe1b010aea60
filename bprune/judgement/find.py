"""The search for a budget on a real network: each look is a point of a sweep."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from bprune.engines.choose import Prepared
from bprune.errors import InputError, TargetError, UsageError
from bprune.inference.progress import Progress, no_progress
from bprune.judgement.bounds import paired_proportion_bound
from bprune.judgement.budget import Budget
from bprune.judgement.levels import Level, level_of, sparsity_rule, whole_level
from bprune.judgement.measure import Study, measure_level
from bprune.judgement.search import BISECTIONS, Search, search
from bprune.judgement.sweep import SweepPoint
from bprune.metrics import METRICS, Estimate
from bprune.pruning.threshold import Rule

__all__ = ["SEARCH_SPARSITIES", "Found", "check_budget", "check_found", "find_sparsity", "search_levels"]

SEARCH_SPARSITIES = (0.2, 0.4, 0.6, 0.7, 0.8, 0.85, 0.9, 0.925, 0.95, 0.975, 0.99)
"""The grid that a search walks up where no sweep was made before."""


@dataclass(frozen=True, eq=False)
class Found:
    """What a search on a network found.

    Attributes:
        search: Its looks, and the best of them.
        points: What was measured, by number of weights; the whole network first.
    """

    search: Search
    points: Mapping[int, SweepPoint]


def find_sparsity(
    study: Study,
    prepared: Prepared,
    rule: Rule,
    budget: Budget,
    *,
    allow_empty_layers: bool = False,
    progress: Progress = no_progress,
) -> Found:
    """Find the largest sparsity within a budget.

    Args:
        study: Case, data and draws, without a reference.
        prepared: The engine of the whole network.
        rule: Criterion, scope and context.
        budget: The limits.
        allow_empty_layers: Whether a layer may lose all its weights.
        progress: Told the share of the looks that is done, at least.

    Raises:
        UsageError: If a limit does not go with the network, or there are too few draws.
        InputError: If there are no labels.
        TargetError: If no sparsity qualifies; the message tells the one that came nearest.
    """
    check_budget(budget, study)
    most = 1 + len(SEARCH_SPARSITIES) + BISECTIONS
    done = 0

    def tell(share: float) -> None:
        progress((done + share) / most)

    predictions = study.predict(prepared, tell)
    whole = measure_level(study, whole_level(study.network, rule), prepared.plan.after, predictions)
    budget.check(whole.metrics)
    study = dataclasses.replace(study, reference=predictions)
    points = {whole.nonzeros: whole}

    def measure(level: Level) -> SweepPoint:
        nonlocal done
        done = min(done + 1, most - 1)
        if level.total.nonzeros not in points:
            own = study.prepare(level)
            points[level.total.nonzeros] = measure_level(study, level, own.plan.after, study.predict(own, tell))
        return points[level.total.nonzeros]

    found = search_levels(study, rule, budget, SEARCH_SPARSITIES, measure, allow_empty_layers=allow_empty_layers)
    check_found(found, len(study.data))
    progress(1.0)
    return Found(found, points)


def search_levels(
    study: Study,
    rule: Rule,
    budget: Budget,
    sparsities: Sequence[float],
    measure: Callable[[Level], SweepPoint],
    *,
    allow_empty_layers: bool,
) -> Search:
    """Search over the prunings of a network; what leaves a layer without a weight does not qualify.

    Args:
        study: Case, data and draws.
        rule: Criterion, scope and context.
        budget: The limits.
        sparsities: The grid.
        measure: The point of a pruning.
        allow_empty_layers: Whether a layer may lose all its weights.
    """
    network = study.network
    before = whole_level(network, rule).total

    def differences(sparsity: float) -> Mapping[str, Estimate] | None:
        level = level_of(network, sparsity_rule(rule, sparsity), allow_empty_layers=allow_empty_layers)
        return None if level is None else measure(level).differences

    return search(
        differences,
        budget,
        [item for item in sparsities if item > before.sparsity + 0.5 / before.weights],
        start=before.sparsity,
        examples=len(study.data),
        blocks=study.draws.blocks,
    )


def check_budget(budget: Budget, study: Study) -> None:
    """Refuse a budget that cannot be judged.

    Raises:
        UsageError: If a limit does not go with the network, or there are too few draws.
        InputError: If there are no labels.
    """
    budget.check(METRICS[study.case.task])
    if study.data.labels is None:
        raise InputError(f"{study.data.source} has no labels, so that a budget cannot be judged", hint="Pass --labels.")
    if study.draws.blocks < 2:
        raise UsageError(
            f"{study.draws.mc_iters} draws have no MC standard error, so that a budget cannot be judged",
            hint="Give more --mc-iters; 20 and more fill all blocks of draws.",
        )


def check_found(found: Search, examples: int) -> None:
    """Refuse a search without an answer.

    Args:
        found: The search.
        examples: Number of examples behind it.

    Raises:
        TargetError: If there is none; the message tells the sparsity that came nearest.
    """
    if found.best is not None:
        return
    told = "no sparsity was looked at"
    looked = [look for look in found.looks if all(math.isfinite(bound) for bound in look.bounds.values())]
    if looked:
        near = found.nearest()
        parts = [f"{name} {near.worsening[name] + 0.0:+.4g}, at most {near.bounds[name]:.4g}" for name in near.bounds]
        told = f"nearest is a sparsity of {near.sparsity:.4g}, worse by {'; '.join(parts)}"
    raise TargetError(
        f"no sparsity keeps the budget {found.budget.describe()}: {told}", hint=_hint(found.budget, examples)
    )


def _hint(budget: Budget, examples: int) -> str:
    """What would help; few examples cannot show a small drop, whatever the network does."""
    smallest = paired_proportion_bound(0, 0, examples, (1.0 - budget.confidence) / 4.0)
    for limit in budget.limits:
        if limit.metric == "accuracy" and smallest > limit.largest:
            return (
                f"{examples} examples cannot show that accuracy drops by less than {smallest:.2g}, even if no "
                "prediction changes: pass more (--data), or allow a larger drop, or a lower --confidence."
            )
    return "Allow more, pass more examples (--data) or draws (--mc-iters), or a lower --confidence."
