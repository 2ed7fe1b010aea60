"""Which weights a report is about: those of the rule that was asked for, or of a default that works."""

from __future__ import annotations

from bprune.case.case import Case
from bprune.errors import TargetError
from bprune.judgement.levels import Level, level_of, whole_level
from bprune.posterior.posterior import Network
from bprune.pruning.plan import plan_pruning
from bprune.pruning.record import PruningRecord
from bprune.pruning.threshold import Rule
from bprune.report.findings import Choice

__all__ = ["FALLBACK_SPARSITY", "choose"]

FALLBACK_SPARSITY = 0.5
"""The share that is pruned where nothing was asked for and the default threshold would empty a layer."""


def choose(
    case: Case, network: Network, rule: Rule | None, record: PruningRecord | None, *, allow_empty_layers: bool
) -> Choice:
    """Choose the weights that go.

    Args:
        case: The case.
        network: Its posteriors.
        rule: What was asked for; None for a default.
        record: How the case was pruned before, or None.
        allow_empty_layers: Whether a layer may lose all its weights.

    Raises:
        TargetError: If a layer would lose all its weights.
        UnsupportedError: If the network has no prunable weight, or one that the criterion cannot score.
    """
    if rule is not None:
        plan_pruning(case, network, rule, allow_empty_layers=allow_empty_layers)
        return _of_level(rule, f"Asked for: {rule.describe()}.", _level(network, rule))
    if record is not None:
        reason = "The case is pruned already and nothing else was asked for, so it is told about as it is."
        return _of_level(None, reason, whole_level(network, Rule()))
    rule = Rule()
    reason = f"Nothing was asked for, so this is the default: {rule.describe()}."
    try:
        plan_pruning(case, network, rule, allow_empty_layers=allow_empty_layers)
    except TargetError as error:
        rule = Rule(sparsity=FALLBACK_SPARSITY)
        reason = (
            f"Nothing was asked for, and the default does not work here ({error.message}). So half of the weights are "
            "pruned, those with the lowest SNR; --threshold or --sparsity choose otherwise."
        )
        plan_pruning(case, network, rule)
    return _of_level(rule, reason, _level(network, rule))


def _level(network: Network, rule: Rule) -> Level:
    level = level_of(network, rule, allow_empty_layers=True)
    assert level is not None
    return level


def _of_level(rule: Rule | None, reason: str, level: Level) -> Choice:
    return Choice(rule, reason, level.masks, level.layers, level.total, level.threshold)
