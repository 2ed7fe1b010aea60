"""The networks of a sweep before they are run: which weights each keeps, and which of them would lose a layer."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from bprune.arrays import BoolArray
from bprune.errors import TargetError, UnsupportedError, UsageError
from bprune.posterior.posterior import Network
from bprune.pruning.counts import Counts, check_no_empty_layer, count_layers, count_total
from bprune.pruning.scores import score_weights
from bprune.pruning.threshold import Rule, choose_masks

__all__ = ["DEFAULT_SPARSITIES", "Level", "Levels", "choose_levels", "level_of", "sparsity_rule", "whole_level"]

DEFAULT_SPARSITIES = (0.0, 0.2, 0.4, 0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.925, 0.95, 0.975, 0.98, 0.99)
"""The sparsities of a sweep where nobody says others: closer together where networks begin to fail."""


@dataclass(frozen=True, eq=False)
class Level:
    """One pruning of a network.

    Attributes:
        masks: True where a weight is kept, by posterior name.
        layers: Counts of every layer.
        total: Counts of the network.
        threshold: See `bprune.judgement.sweep.SweepPoint`.
    """

    masks: Mapping[str, BoolArray]
    layers: tuple[Counts, ...]
    total: Counts
    threshold: float


@dataclass(frozen=True, eq=False)
class Levels:
    """The networks of a sweep.

    Attributes:
        levels: By sparsity, each once; the first is the network as it is.
        left_out: Sparsities or thresholds that would have left a layer without a weight, ascending.
        notes: A sentence for everything that is unusual.
    """

    levels: tuple[Level, ...]
    left_out: tuple[float, ...]
    notes: tuple[str, ...]


def whole_level(network: Network, rule: Rule) -> Level:
    """The network as it is."""
    return _level(network, rule, network.masks)


def level_of(network: Network, rule: Rule, *, allow_empty_layers: bool = False) -> Level | None:
    """The network pruned by a rule; None where that would leave a layer without a weight, and that is not allowed."""
    masks = choose_masks(network, rule)
    if not allow_empty_layers:
        try:
            check_no_empty_layer(network, masks, rule)
        except TargetError:
            return None
    return _level(network, rule, masks)


def choose_levels(
    network: Network,
    rule: Rule,
    *,
    sparsities: Sequence[float] | None = None,
    thresholds: Sequence[float] | None = None,
    allow_empty_layers: bool = False,
) -> Levels:
    """The networks of a grid.

    Args:
        network: The posteriors.
        rule: Criterion, scope and context; its own threshold or sparsity plays no part.
        sparsities: The grid; with neither this nor `thresholds`, `DEFAULT_SPARSITIES`.
        thresholds: The grid in units of the criterion.
        allow_empty_layers: Whether a layer may lose all its weights.

    Raises:
        UsageError: If both grids are given, or one of their numbers is out of range.
        UnsupportedError: If the network has no prunable weight.
    """
    if sparsities and thresholds:
        raise UsageError("a sweep goes over sparsities or over thresholds, not over both")
    if not network.posteriors:
        raise UnsupportedError(
            "no weight has a recognised posterior, so there is nothing to prune",
            hint="; ".join(f"{item.name}: {item.reason}" for item in network.unrecognised) or None,
        )
    grid = sorted(set(thresholds or sparsities or DEFAULT_SPARSITIES))
    whole = whole_level(network, rule)
    found = {whole.total.nonzeros: whole}
    left_out, below = [], []
    for number in grid:
        own = replace(rule, threshold=number, sparsity=None) if thresholds else sparsity_rule(rule, number)
        level = level_of(network, own, allow_empty_layers=allow_empty_layers)
        if level is None:
            left_out.append(number)
        else:
            found.setdefault(level.total.nonzeros, level)
        if not thresholds and number < whole.total.sparsity - 0.5 / whole.total.weights:
            below.append(number)
    return Levels(
        tuple(sorted(found.values(), key=lambda level: -level.total.nonzeros)),
        tuple(left_out),
        tuple(_notes("thresholds" if thresholds else "sparsities", left_out, below, whole.total.sparsity)),
    )


def sparsity_rule(rule: Rule, sparsity: float) -> Rule:
    """The same rule with a sparsity."""
    return replace(rule, threshold=None, sparsity=sparsity, layer_thresholds={})


def _notes(what: str, left_out: Sequence[float], below: Sequence[float], before: float) -> list[str]:
    notes = []
    if left_out:
        numbers = ", ".join(f"{number:g}" for number in left_out)
        notes.append(f"left out, since a layer would lose all its weights: the {what} {numbers}")
    if below:
        numbers = ", ".join(f"{number:g}" for number in below)
        notes.append(f"the case is pruned already, at a sparsity of {before:.4g}; below that: {numbers}")
    return notes


def _level(network: Network, rule: Rule, masks: Mapping[str, BoolArray]) -> Level:
    return Level(masks, count_layers(network, masks), count_total(network, masks), _threshold(network, rule, masks))


def _threshold(network: Network, rule: Rule, masks: Mapping[str, BoolArray]) -> float:
    """The smallest score that is kept, where it alone says what is kept; else NaN."""
    scores = score_weights(network, rule.criterion, rule.context)
    kept, pruned = math.inf, -math.inf
    for item in network.posteriors:
        own, mask = scores[item.name], masks[item.name]
        kept = min(kept, float(np.min(own, where=mask, initial=math.inf)))
        pruned = max(pruned, float(np.max(own, where=item.mask & ~mask, initial=-math.inf)))
    return kept if math.isfinite(kept) and pruned < kept else math.nan
