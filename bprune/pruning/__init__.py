"""Pruning: score weights, choose a mask, write the pruned case."""

from __future__ import annotations

from bprune.pruning.counts import Counts, check_no_empty_layer, count_layers, count_total
from bprune.pruning.criteria import CRITERIA, Activations, Context, Criterion, Prior, find_criterion
from bprune.pruning.plan import Plan, Pruned, plan_pruning, prune
from bprune.pruning.record import PruningRecord, read_pruning_record
from bprune.pruning.save import check_target
from bprune.pruning.scores import (
    ScoreSummary,
    check_context,
    pooled_scores,
    quantiles,
    score_weights,
    summarise_scores,
    threshold_of_sparsity,
)
from bprune.pruning.threshold import DEFAULT_THRESHOLD, Rule, Scope, check_threshold, choose_masks, find_scope

__all__ = [
    "CRITERIA",
    "DEFAULT_THRESHOLD",
    "Activations",
    "Context",
    "Counts",
    "Criterion",
    "Plan",
    "Prior",
    "Pruned",
    "PruningRecord",
    "Rule",
    "Scope",
    "ScoreSummary",
    "check_context",
    "check_no_empty_layer",
    "check_target",
    "check_threshold",
    "choose_masks",
    "count_layers",
    "count_total",
    "find_criterion",
    "find_scope",
    "plan_pruning",
    "pooled_scores",
    "prune",
    "quantiles",
    "read_pruning_record",
    "score_weights",
    "summarise_scores",
    "threshold_of_sparsity",
]
