"""Pruning within a budget: search first, then prune as if the sparsity had been asked for."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import click

from bprune.commands.choices import DataChoice, RuleChoice, RunChoice
from bprune.commands.output import Output

if TYPE_CHECKING:
    from bprune.case import Case
    from bprune.judgement import Budget
    from bprune.posterior import Network
    from bprune.pruning import Plan

__all__ = ["plan_within"]


def plan_within(
    budget: Budget, pruning: RuleChoice, case: Case, network: Network, data: DataChoice, run: RunChoice, tell: Output
) -> Plan:
    """The masks of the largest sparsity within a budget, with the search for the record.

    Raises:
        click.UsageError: If a threshold, a sparsity or a rule for stopping is given as well.
        TargetError: If no sparsity keeps the budget.
    """
    from bprune.judgement.find import find_sparsity
    from bprune.judgement.measure import DEFAULT_SWEEP_MC_ITERS, Draws, Study, prepare_draws
    from bprune.pruning import plan_pruning

    if pruning.threshold is not None or pruning.sparsity is not None or pruning.layer_threshold:
        raise click.UsageError(
            "a budget finds the sparsity; --threshold, --sparsity and --layer-threshold do not go with it"
        )
    if run.stopping() is not None:
        raise click.UsageError("a search needs a fixed number of draws: give --mc-iters a number")
    rule = replace(pruning, sparsity=0.0).rule()
    rule = replace(rule, context=data.measured(rule.criterion, rule.context, case, network))
    draws = Draws(
        mc_iters=run.wanted_draws if isinstance(run.wanted_draws, int) else DEFAULT_SWEEP_MC_ITERS,
        seed=run.seed,
        engine=run.engine,
        sampling=None if run.sampling == "auto" else run.sampling,
        precision=run.precision,
        batch_size=run.batch_size,
        antithetic=run.antithetic,
    )
    prepared = prepare_draws(case, network, network.masks, draws)
    study = Study(case, network, data.read(case, prepared.engine), draws)
    with tell.progress(f"{case.name}: search, {draws.mc_iters} draws") as progress:
        found = find_sparsity(
            study, prepared, rule, budget, allow_empty_layers=pruning.allow_empty_layers, progress=progress
        ).search
    assert found.best is not None
    rule = replace(rule, sparsity=found.best.sparsity)
    plan = plan_pruning(case, network, rule, allow_empty_layers=pruning.allow_empty_layers)
    return replace(plan, search=found.record())
