"""The scores of all weights of a network by a criterion, and what thresholds amount to."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from bprune.arrays import BoolArray, Float64Array
from bprune.errors import SelfCheckError, UnsupportedError, UsageError
from bprune.posterior.posterior import Network
from bprune.pruning.criteria import CRITERIA, Context, Criterion

__all__ = [
    "ScoreSummary",
    "check_context",
    "pooled_scores",
    "quantiles",
    "score_weights",
    "summarise_scores",
    "threshold_of_sparsity",
]

_PARAMETERS = {
    "prior": "a prior",
    "reduced_scale": "a reduced prior",
    "inclusion": "a prior inclusion",
    "activations": "activations",
}


@dataclass(frozen=True)
class ScoreSummary:
    """The distribution of a criterion's scores over some weights.

    Attributes:
        quantiles: The scores at the shares that were asked for; NaN without weights.
        below: Share of the weights whose score is below the threshold, in [0, 1]; NaN without weights or threshold.
        total: The sum of the scores of the weights that were not pruned before.
    """

    quantiles: tuple[float, ...]
    below: float
    total: float


def check_context(criterion: Criterion, context: Context) -> None:
    """Refuse a number that a criterion does not use, or a missing one that it needs.

    Raises:
        UsageError: Naming it.
    """
    for name, told in _PARAMETERS.items():
        if getattr(context, name) is not None and name not in criterion.uses:
            users = ", ".join(item.name for item in CRITERIA.values() if name in item.uses)
            raise UsageError(f"the criterion {criterion.name} does not use {told}", hint=f"These do: {users}.")
    if "reduced_scale" in criterion.uses and context.reduced_scale is None:
        raise UsageError(
            f"the criterion {criterion.name} needs the scale of the reduced prior",
            hint="Pass --reduced-scale S; bmr is the limit for 0 and needs none.",
        )


def score_weights(
    network: Network, criterion: Criterion, context: Context | None = None, *, rank: bool = False
) -> dict[str, Float64Array]:
    """Score every prunable weight.

    Args:
        network: The posteriors.
        criterion: The criterion.
        context: What it needs beside them; None for nothing.
        rank: Whether scores that a sparsity goes by are wanted; see `Criterion.rank`.

    Returns:
        By posterior name, of the weight's shape; the criterion's lowest score where a weight was pruned before.

    Raises:
        UnsupportedError: If a posterior is of a family that the criterion cannot score, or no unit is hidden.
        UsageError: If the criterion needs activations and there are none.
        SelfCheckError: If a score is not a number.
    """
    context = context if context is not None else Context()
    _check_families(network, criterion)
    _check_units(network, criterion)
    _check_activations(network, criterion, context)
    found = {}
    for posterior in network.posteriors:
        last = network.layers[-1] == posterior.layer
        own = replace(context, layer=network.of_layer(posterior.layer), is_output=last)
        with np.errstate(all="ignore"):  # what was pruned before has no score, and an overflow is infinite
            scores = criterion.rank(posterior, own) if rank else criterion.score(posterior, own)
        scores = np.where(posterior.mask, scores, criterion.lowest)
        if np.isnan(scores).any():
            raise SelfCheckError(
                f"the criterion {criterion.name} gives no number for a weight of {posterior.name}",
                hint="Report this with the scale of that weight; bprune inspect shows the layer.",
            )
        found[posterior.name] = scores
    return found


def pooled_scores(network: Network, criterion: Criterion, context: Context | None = None) -> Float64Array:
    """The scores of all prunable weights, `[weight]`."""
    parts = [scores.reshape(-1) for scores in score_weights(network, criterion, context).values()]
    return np.concatenate(parts) if parts else np.zeros(0)


def summarise_scores(
    scores: Sequence[Float64Array], masks: Sequence[BoolArray], shares: Sequence[float], threshold: float | None
) -> ScoreSummary:
    """Summarise the scores of some weights.

    Args:
        scores: What `score_weights` gave, one or more tensors.
        masks: Where their weights are kept.
        shares: At which shares quantiles are wanted.
        threshold: A weight is below when its score is smaller; None for no threshold.
    """
    pooled = np.concatenate([item.reshape(-1) for item in scores] or [np.zeros(0)])
    below = float(np.mean(pooled < threshold)) if threshold is not None and pooled.size else math.nan
    total = math.fsum(float(item[mask].sum()) for item, mask in zip(scores, masks, strict=True))
    return ScoreSummary(quantiles(pooled, shares), below, total)


def quantiles(scores: Float64Array, shares: Sequence[float]) -> tuple[float, ...]:
    """Quantiles, where scores may be infinite; NaN without scores."""
    if not scores.size:
        return (math.nan,) * len(shares)
    method = "linear" if np.isfinite(scores).all() else "lower"
    return tuple(float(value) for value in np.quantile(scores, shares, method=method))  # type: ignore[call-overload]


def threshold_of_sparsity(
    network: Network, criterion: Criterion, sparsity: float, context: Context | None = None
) -> float:
    """The threshold below which a fraction of all prunable weights lies; NaN without prunable weights."""
    return quantiles(pooled_scores(network, criterion, context), [sparsity])[0]


def _check_families(network: Network, criterion: Criterion) -> None:
    refused = [item for item in network.posteriors if item.family.name not in criterion.families]
    if refused:
        names = ", ".join(f"{item.name} ({item.family.name})" for item in refused)
        raise UnsupportedError(
            f"the criterion {criterion.name} does not score {names}: {criterion.refusal}",
            hint="Choose another criterion, such as snr.",
        )


def _check_units(network: Network, criterion: Criterion) -> None:
    if criterion.whole_units and len(network.layers) == 1:
        raise UnsupportedError(
            f"the criterion {criterion.name} scores hidden units, and the units of {network.layers[0]}, the only layer "
            "with a posterior, are outputs",
            hint="Choose another criterion, such as snr.",
        )


def _check_activations(network: Network, criterion: Criterion, context: Context) -> None:
    if "activations" not in criterion.uses:
        return
    known = context.activations.mean_square if context.activations is not None else {}
    for item in network.posteriors:
        if item.name not in known or known[item.name].shape != item.shape:
            raise UsageError(
                f"the criterion {criterion.name} needs to know what the weights of {item.name} are multiplied with",
                hint="Pass the activations that bprune.engines.measure_activations(case, inputs) gives.",
            )
