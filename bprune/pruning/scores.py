"""The scores of all weights of a network by a criterion, and what thresholds amount to."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from bprune.arrays import Float64Array
from bprune.errors import SelfCheckError, UnsupportedError, UsageError
from bprune.posterior.posterior import Network
from bprune.pruning.criteria import Context, Criterion

__all__ = ["pooled_scores", "quantiles", "score_weights", "threshold_of_sparsity"]


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
        UnsupportedError: If a posterior is of a family that the criterion cannot score.
        UsageError: If the criterion needs activations and there are none.
        SelfCheckError: If a score is not a number.
    """
    context = context if context is not None else Context()
    _check_families(network, criterion)
    _check_activations(network, criterion, context)
    found = {}
    for posterior in network.posteriors:
        own = replace(context, layer=network.of_layer(posterior.layer))
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
