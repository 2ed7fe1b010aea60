"""From scores to masks: a threshold, a threshold per layer, or a sparsity of the whole network or of every layer."""

from __future__ import annotations

import difflib
import enum
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from bprune.arrays import BoolArray
from bprune.errors import InputError, UsageError
from bprune.posterior.posterior import Network, Posterior
from bprune.pruning.criteria import CRITERIA, Context, Criterion
from bprune.pruning.scores import check_context, score_weights

__all__ = ["DEFAULT_THRESHOLD", "Rule", "Scope", "check_threshold", "choose_masks", "find_scope"]

DEFAULT_THRESHOLD = 10.0
"""The default threshold, a linear SNR."""


class Scope(str, enum.Enum):
    """Of what a sparsity is a fraction."""

    GLOBAL = "global"
    """Of all prunable weights: some layers lose more than others."""
    LAYER = "layer"
    """Of the weights of every layer: each loses the same share."""


def find_scope(name: Scope | str) -> Scope:
    """A scope by its name.

    Raises:
        UsageError: If there is none of that name.
    """
    try:
        return Scope(name)
    except ValueError:
        raise UsageError(f"there is no scope {name!r}; allowed are {', '.join(Scope)}") from None


@dataclass(frozen=True)
class Rule:
    """Which weights are pruned.

    Attributes:
        threshold: A weight is pruned when its score is below; kept when equal. None with `sparsity`. Where neither is
            given it becomes the criterion's own threshold.
        sparsity: Fraction of the prunable weights to prune, lowest scores first, in [0, 1]. None with `threshold`.
        layer_thresholds: Thresholds of single layers, which win over `threshold`.
        criterion: The score.
        scope: Of what `sparsity` is a fraction.
        context: What the score needs beside the posteriors.

    Raises:
        UsageError: If a number is out of range, parts do not go together, or the criterion needs a number that is
            missing or does not use one that is there.
    """

    threshold: float | None = None
    sparsity: float | None = None
    layer_thresholds: Mapping[str, float] = field(default_factory=dict)
    criterion: Criterion = CRITERIA["snr"]
    scope: Scope = Scope.GLOBAL
    context: Context = field(default_factory=Context)

    def __post_init__(self) -> None:
        self._check_is_order()
        check_context(self.criterion, self.context)
        if self.threshold is not None and self.sparsity is not None:
            raise UsageError("give either a threshold or a sparsity")
        if self.threshold is None and self.sparsity is None:
            object.__setattr__(self, "threshold", self._own_threshold())
        if self.sparsity is not None:
            if not 0.0 <= self.sparsity <= 1.0:
                raise UsageError(f"the sparsity {self.sparsity} is not a fraction between 0 and 1")
            if self.layer_thresholds:
                raise UsageError("thresholds of single layers do not go with a sparsity")
        elif self.scope is Scope.LAYER:
            raise UsageError(
                "the scope layer goes with a sparsity: a threshold is the same in every layer",
                hint="Pass --sparsity SHARE, or --layer-threshold LAYER=NUMBER for single layers.",
            )
        named = {f"the threshold of {name}": value for name, value in self.layer_thresholds.items()}
        for what, value in {"the threshold": self.threshold, **named}.items():
            if value is not None:
                check_threshold(self.criterion, value, what)

    def describe(self) -> str:
        """The rule in words."""
        if self.sparsity is not None:
            of = "all weights" if self.scope is Scope.GLOBAL else "the weights of every layer"
            return f"the {100.0 * self.sparsity:.6g} % of {of} with the lowest {self.criterion.name}"
        layers = "".join(f", {name} below {value:g}" for name, value in self.layer_thresholds.items())
        return f"{self.criterion.name} below {self.threshold:g}{layers}"

    def parameters(self) -> dict[str, float]:
        """What else the scores depend on, by name, defaults included: for records."""
        return self.criterion.parameters(self.context)

    def _check_is_order(self) -> None:
        criterion = self.criterion
        if criterion.reported_only:
            raise UsageError(
                f"{criterion.name} is a report and no criterion to prune by: {criterion.reported_only}",
                hint=f"bprune inspect --criterion {criterion.name} shows it; bmr is the criterion that it suggests.",
            )

    def _own_threshold(self) -> float:
        if self.criterion.own_threshold is None:
            name = self.criterion.name
            raise UsageError(
                f"give either a threshold or a sparsity: the criterion {name} has no threshold of its own",
                hint=f"Pass --sparsity SHARE or --threshold NUMBER; bprune inspect --criterion {name} shows scores.",
            )
        return self.criterion.own_threshold


def check_threshold(criterion: Criterion, value: float, what: str = "the threshold") -> None:
    """Refuse a number that no score of a criterion can be below.

    Raises:
        UsageError: Naming `what`.
    """
    if math.isnan(value) or value < criterion.lowest:
        allowed = "a number" if math.isinf(criterion.lowest) else f"a number of at least {criterion.lowest:g}"
        raise UsageError(f"{what} is {value}; it must be {allowed}")


def choose_masks(network: Network, rule: Rule) -> dict[str, BoolArray]:
    """Decide which weights are kept. What was pruned before stays pruned.

    Returns:
        Masks by posterior name, True where kept.

    Raises:
        InputError: If a layer threshold names no layer with a posterior.
        UnsupportedError: If the criterion cannot score a posterior.
        UsageError: If it needs activations that the rule does not have.
    """
    for name in rule.layer_thresholds:
        if name not in network.layers:
            near = difflib.get_close_matches(name, network.layers, n=1)
            raise InputError(
                f"there is no prunable layer {name!r}",
                hint=(f"Did you mean {near[0]}? " if near else "") + f"Prunable layers: {', '.join(network.layers)}.",
            )
    if rule.sparsity is not None:
        return _lowest(network, rule, rule.sparsity)
    assert rule.threshold is not None
    masks = {}
    scores = score_weights(network, rule.criterion, rule.context)
    for posterior in network.posteriors:
        threshold = rule.layer_thresholds.get(posterior.layer, rule.threshold)
        masks[posterior.name] = np.asarray((scores[posterior.name] >= threshold) & posterior.mask)
    return masks


def _lowest(network: Network, rule: Rule, sparsity: float) -> dict[str, BoolArray]:
    """Prune the lowest scores of the network, or of every layer.

    That is exactly round(sparsity * weights), or more if more were pruned before; ties go by original index. Where
    whole units go it is as many units as fit.
    """
    scores = score_weights(network, rule.criterion, rule.context, rank=True)
    parts = (
        [network.posteriors] if rule.scope is Scope.GLOBAL else [network.of_layer(layer) for layer in network.layers]
    )
    masks: dict[str, BoolArray] = {}
    for posteriors in parts:
        pooled = np.concatenate([scores[item.name].reshape(-1) for item in posteriors] or [np.zeros(0)])
        before = np.concatenate([item.mask.reshape(-1) for item in posteriors] or [np.zeros(0, np.bool_)])
        count = round(sparsity * pooled.size)
        order = np.lexsort((np.arange(pooled.size), pooled, before))
        kept = before.copy()
        if rule.criterion.whole_units and count < pooled.size:
            ordered = np.where(before, pooled, -np.inf)
            kept &= ordered >= ordered[order[count]]  # a unit that does not fit as a whole stays
        else:
            kept[order[:count]] = False
        masks |= _split(posteriors, kept)
    return {item.name: masks[item.name] for item in network.posteriors}


def _split(posteriors: Sequence[Posterior], kept: BoolArray) -> dict[str, BoolArray]:
    """Flat masks of some posteriors, one behind the other, by name."""
    ends = np.cumsum([item.size for item in posteriors])
    parts = np.split(kept, ends[:-1]) if len(posteriors) else []
    return {item.name: part.reshape(item.shape) for item, part in zip(posteriors, parts, strict=True)}
