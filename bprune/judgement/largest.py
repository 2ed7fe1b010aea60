"""The largest sparsity that a budget allows, of a case: for programs."""

from __future__ import annotations

import os
from pathlib import Path

from bprune.case.case import Case, load_case
from bprune.engines.base import Sampling
from bprune.engines.choose import EngineName
from bprune.engines.tensorflow import Precision
from bprune.inference.data import Dataset
from bprune.inference.progress import Progress, no_progress
from bprune.judgement.budget import Budget
from bprune.judgement.find import find_sparsity
from bprune.judgement.measure import DEFAULT_SWEEP_MC_ITERS, Draws, Study, prepare_draws
from bprune.judgement.search import Search
from bprune.posterior.recognise import read_network
from bprune.pruning.criteria import Context, find_criterion
from bprune.pruning.threshold import Rule, Scope, find_scope
from bprune.results.record import given_data, load_data

__all__ = ["largest_sparsity"]


def largest_sparsity(
    case: Case | str | os.PathLike[str],
    budget: Budget,
    data: Dataset | str | Path | None = None,
    *,
    criterion: str = "snr",
    context: Context | None = None,
    scope: Scope | str = Scope.GLOBAL,
    mc_iters: int = DEFAULT_SWEEP_MC_ITERS,
    seed: int = 0,
    scale: float | None = None,
    engine: EngineName | str = EngineName.AUTO,
    sampling: Sampling | str | None = None,
    precision: Precision | str = Precision.FLOAT32,
    batch_size: int | None = None,
    antithetic: bool = False,
    allow_empty_layers: bool = False,
    progress: Progress = no_progress,
) -> Search:
    """Find the largest sparsity at which a network keeps a budget; see `bprune.judgement.search`.

    Args:
        case: The case, or a path of it.
        budget: The limits and the confidence, as `budget_of` makes them.
        data: Held-out data with labels, or a file of it; None takes the case's heldout.npz.
        criterion: What weights are scored by.
        context: What the criterion needs beside the posteriors.
        scope: Of what the sparsity is a fraction: `global` or `layer`.
        mc_iters: Draws per example.
        seed: Seed of the noise, the same in all runs.
        scale: Divide integer inputs by this number.
        engine: Which engine runs the draws.
        sampling: How weights are shared between the examples of a draw; None takes what the engine does.
        precision: In which number format products are computed.
        batch_size: Examples that are run together; None chooses.
        antithetic: Draw pairs of opposite noise; the engine native alone.
        allow_empty_layers: Whether a layer may lose all its weights.
        progress: Told the share of the work that is done.

    Returns:
        The search; `search.best.sparsity` is the answer.

    Raises:
        UsageError: If arguments do not go together.
        InputError: If case or data cannot be used, or there are no labels.
        TargetError: If no sparsity qualifies; the message tells the one that came nearest.
        EngineError: If the network cannot be run.

    Example:
        >>> found = largest_sparsity("sample_checkpoints/digits_conv", budget_of(max_accuracy_drop=0.02))
        >>> bprune.prune("sample_checkpoints/digits_conv", "digits-small", sparsity=found.best.sparsity)
    """
    loaded = case if isinstance(case, Case) else load_case(case)
    rule = Rule(
        None, 0.0, {}, find_criterion(criterion), find_scope(scope), context if context is not None else Context()
    )
    draws = Draws(mc_iters, seed, engine, sampling, precision, batch_size, antithetic)
    network = read_network(loaded)
    prepared = prepare_draws(loaded, network, network.masks, draws)
    source = given_data(data)
    dataset = load_data(loaded, prepared.engine, source, scale=scale)
    study = Study(loaded, network, dataset, draws)
    return find_sparsity(study, prepared, rule, budget, allow_empty_layers=allow_empty_layers, progress=progress).search
