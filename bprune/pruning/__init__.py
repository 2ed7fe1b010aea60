"""Pruning: score weights, choose a mask, write the pruned case."""

from __future__ import annotations

from bprune.pruning.counts import Counts, check_no_empty_layer, count_layers, count_total
from bprune.pruning.criteria import CRITERIA, Criterion
from bprune.pruning.plan import Plan, Pruned, plan_pruning, prune
from bprune.pruning.record import PruningRecord, read_pruning_record
from bprune.pruning.save import check_target
from bprune.pruning.threshold import DEFAULT_THRESHOLD, Rule, choose_masks

__all__ = [
    "CRITERIA",
    "DEFAULT_THRESHOLD",
    "Counts",
    "Criterion",
    "Plan",
    "Pruned",
    "PruningRecord",
    "Rule",
    "check_no_empty_layer",
    "check_target",
    "choose_masks",
    "count_layers",
    "count_total",
    "plan_pruning",
    "prune",
    "read_pruning_record",
]
