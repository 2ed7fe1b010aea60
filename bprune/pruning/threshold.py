"""From scores to masks: a threshold, a threshold per layer, or a sparsity of the whole network."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from bprune.arrays import BoolArray, Float64Array
from bprune.errors import InputError, UsageError
from bprune.posterior.posterior import Network
from bprune.pruning.criteria import CRITERIA, Criterion

__all__ = ["DEFAULT_THRESHOLD", "Rule", "choose_masks", "threshold_of_sparsity"]

DEFAULT_THRESHOLD = 10.0
"""The default threshold, a linear SNR."""


@dataclass(frozen=True)
class Rule:
    """Which weights are pruned.

    Attributes:
        threshold: A weight is pruned when its score is below; kept when equal. None with `sparsity`.
        sparsity: Fraction of all prunable weights to prune, lowest scores first, in [0, 1]. None with `threshold`.
        layer_thresholds: Thresholds of single layers, which win over `threshold`.
        criterion: The score.

    Raises:
        UsageError: If a number is out of range, or both or neither of threshold and sparsity are given.
    """

    threshold: float | None = DEFAULT_THRESHOLD
    sparsity: float | None = None
    layer_thresholds: Mapping[str, float] = field(default_factory=dict)
    criterion: Criterion = CRITERIA["snr"]

    def __post_init__(self) -> None:
        if (self.threshold is None) == (self.sparsity is None):
            raise UsageError("give either a threshold or a sparsity")
        if self.sparsity is not None:
            if not 0.0 <= self.sparsity <= 1.0:
                raise UsageError(f"the sparsity {self.sparsity} is not a fraction between 0 and 1")
            if self.layer_thresholds:
                raise UsageError("thresholds of single layers do not go with a sparsity of the whole network")
        named = {f"the threshold of {name}": value for name, value in self.layer_thresholds.items()}
        for what, value in {"the threshold": self.threshold, **named}.items():
            if value is not None and (math.isnan(value) or value < 0.0):
                raise UsageError(f"{what} is {value}; it must be a number of at least 0")

    def describe(self) -> str:
        """The rule in words."""
        if self.sparsity is not None:
            return f"the {self.sparsity:.4g} of all weights with the lowest {self.criterion.name}"
        layers = "".join(f", {name} below {value:g}" for name, value in self.layer_thresholds.items())
        return f"{self.criterion.name} below {self.threshold:g}{layers}"


def choose_masks(network: Network, rule: Rule) -> dict[str, BoolArray]:
    """Decide which weights are kept. What was pruned before stays pruned.

    Returns:
        Masks by posterior name, True where kept.

    Raises:
        InputError: If a layer threshold names no layer with a posterior.
    """
    for name in rule.layer_thresholds:
        if name not in network.layers:
            near = difflib.get_close_matches(name, network.layers, n=1)
            raise InputError(
                f"there is no prunable layer {name!r}",
                hint=(f"Did you mean {near[0]}? " if near else "") + f"Prunable layers: {', '.join(network.layers)}.",
            )
    if rule.sparsity is not None:
        return _lowest(network, rule.criterion, rule.sparsity)
    masks = {}
    for posterior in network.posteriors:
        threshold = rule.layer_thresholds.get(posterior.layer, rule.threshold or 0.0)
        masks[posterior.name] = np.asarray((rule.criterion.score(posterior) >= threshold) & posterior.mask)
    return masks


def _lowest(network: Network, criterion: Criterion, sparsity: float) -> dict[str, BoolArray]:
    """Prune exactly round(sparsity * weights), or more if more were pruned before; ties go by original index."""
    scores = _all_scores(network, criterion)
    before = np.concatenate([posterior.mask.reshape(-1) for posterior in network.posteriors] or [np.zeros(0, bool)])
    order = np.lexsort((np.arange(scores.size), scores, before))
    kept = before.copy()
    kept[order[: round(sparsity * scores.size)]] = False
    masks, start = {}, 0
    for posterior in network.posteriors:
        masks[posterior.name] = kept[start : start + posterior.size].reshape(posterior.shape)
        start += posterior.size
    return masks


def _all_scores(network: Network, criterion: Criterion) -> Float64Array:
    parts = [criterion.score(posterior).reshape(-1) for posterior in network.posteriors]
    return np.concatenate(parts) if parts else np.zeros(0)


def threshold_of_sparsity(network: Network, criterion: Criterion, sparsity: float) -> float:
    """The threshold below which a fraction of all prunable weights lies; NaN without prunable weights."""
    scores = _all_scores(network, criterion)
    return float(np.quantile(scores, sparsity)) if scores.size else math.nan
