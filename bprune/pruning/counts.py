"""How many weights a mask keeps, per layer and in total, and whether it cuts the network in two."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from bprune.arrays import BoolArray, Float64Array
from bprune.errors import TargetError
from bprune.posterior.posterior import Network
from bprune.pruning.scores import score_weights, threshold_of_sparsity
from bprune.pruning.threshold import Rule, Scope

__all__ = ["Counts", "check_no_empty_layer", "count_layers", "count_total"]


@dataclass(frozen=True)
class Counts:
    """Prunable weights of a layer or a network.

    Attributes:
        name: The layer's name, or `total`.
        weights: How many prunable weights there are.
        nonzeros: How many are kept, counted from the mask.
    """

    name: str
    weights: int
    nonzeros: int

    @property
    def sparsity(self) -> float:
        """Fraction of the prunable weights that are pruned, in [0, 1]; 0 where there are none."""
        return 1.0 - self.nonzeros / self.weights if self.weights else 0.0

    @property
    def nonzero_parameters(self) -> int:
        """Kept parameters, loc and scale: the paper counts these."""
        return 2 * self.nonzeros


def count_layers(network: Network, masks: Mapping[str, BoolArray]) -> tuple[Counts, ...]:
    """The counts of every layer with a posterior, in graph order."""
    return tuple(
        Counts(
            name=layer,
            weights=sum(posterior.size for posterior in network.of_layer(layer)),
            nonzeros=sum(int(masks[posterior.name].sum()) for posterior in network.of_layer(layer)),
        )
        for layer in network.layers
    )


def count_total(network: Network, masks: Mapping[str, BoolArray]) -> Counts:
    """The counts of the whole network."""
    layers = count_layers(network, masks)
    return Counts("total", sum(item.weights for item in layers), sum(item.nonzeros for item in layers))


def check_no_empty_layer(network: Network, masks: Mapping[str, BoolArray], rule: Rule) -> None:
    """Refuse masks that leave a layer without a weight: its output would no longer depend on its input.

    A bias does not count, because it does not carry the input.

    Raises:
        TargetError: Naming the tensors, thresholds that give 50, 80 and 95 % sparsity, and the largest possible one.
    """
    empty = [
        posterior
        for posterior in network.posteriors
        if posterior.part != "bias" and posterior.size and not masks[posterior.name].any()
    ]
    if not empty:
        return
    criterion = rule.criterion
    scores = score_weights(network, criterion, rule.context)
    largest = ", ".join(f"{item.name} (largest {criterion.name} {np.max(scores[item.name]):.3g})" for item in empty)
    hint = "Ask for a smaller --sparsity, or pass --allow-empty-layers."
    if rule.scope is Scope.GLOBAL:
        shares = (0.5, 0.8, 0.95)
        found = [threshold_of_sparsity(network, criterion, share, rule.context) for share in shares]
        usual = " / ".join(f"{threshold:.3g}" for threshold in found)
        hint = (
            f"Thresholds that prune 50 / 80 / 95 % of this network: {usual}. The largest that leaves every layer a "
            f"weight: {_largest_threshold(network, scores):.4g}. Or pass a --layer-threshold, or --allow-empty-layers."
        )
    raise TargetError(f"pruning {rule.describe()} leaves no weight in: {largest}", hint=hint)


def _largest_threshold(network: Network, scores: Mapping[str, Float64Array]) -> float:
    """The smallest of the layers' largest scores, rounded down to what a user would type."""
    largest = min(
        float(np.max(scores[posterior.name]))
        for posterior in network.posteriors
        if posterior.part != "bias" and posterior.size
    )
    if not math.isfinite(largest):
        return largest
    unit = 10.0 ** (math.floor(math.log10(abs(largest))) - 2) if largest else 1.0
    return math.floor(largest / unit) * unit
