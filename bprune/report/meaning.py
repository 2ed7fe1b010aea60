"""What a threshold means: in linear SNR, in dB, and as the probability that a weight has the other sign."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from bprune.arrays import BoolArray, Float64Array
from bprune.posterior.posterior import Network
from bprune.report.findings import Findings

__all__ = ["Meaning", "decibel", "meaning_of", "wrong_sign"]


@dataclass(frozen=True)
class Meaning:
    """A threshold, and what lies on both of its sides.

    Attributes:
        criterion: Name of the criterion.
        unit: Its unit.
        threshold: The threshold, in that unit; the smallest score that is kept where a sparsity was asked for; NaN
            where there is no single one.
        smallest_kept: The smallest SNR that is kept; NaN where nothing is.
        largest_pruned: The largest SNR that is pruned; NaN where nothing is.
        wrong_sign: Probability that the least certain kept weight has the other sign than its mean; NaN where no
            weight is kept.
    """

    criterion: str
    unit: str
    threshold: float
    smallest_kept: float
    largest_pruned: float
    wrong_sign: float


def meaning_of(findings: Findings) -> Meaning:
    """What the threshold of a report means."""
    rule, choice = findings.choice.rule, findings.choice
    threshold = choice.threshold
    if rule is not None and rule.threshold is not None and not rule.layer_thresholds:
        threshold = rule.threshold
    kept, pruned = _snr(findings.network, choice.masks)
    chances = [wrong_sign(findings.network, name, mask) for name, mask in choice.masks.items() if mask.any()]
    return Meaning(
        "snr" if rule is None else rule.criterion.name,
        "SNR" if rule is None else rule.criterion.unit,
        threshold,
        float(kept.min()) if kept.size else math.nan,
        float(pruned.max()) if pruned.size else math.nan,
        max(chances, default=math.nan),
    )


def _snr(network: Network, masks: Mapping[str, BoolArray]) -> tuple[Float64Array, Float64Array]:
    """The SNR of the weights that are kept, and of those that are pruned now."""
    kept = [item.snr[masks[item.name]] for item in network.posteriors]
    pruned = [item.snr[item.mask & ~masks[item.name]] for item in network.posteriors]
    return np.concatenate(kept or [np.zeros(0)]), np.concatenate(pruned or [np.zeros(0)])


def wrong_sign(network: Network, name: str, mask: BoolArray) -> float:
    """The largest probability of the other sign among the weights of a tensor that a mask keeps."""
    posterior = next(item for item in network.posteriors if item.name == name)
    log = posterior.family.log_wrong_sign(np.asarray(posterior.loc, np.float64), posterior.scale)
    return float(np.exp(np.max(log, where=mask, initial=-np.inf)))


def decibel(snr: float) -> float:
    """20 log10(SNR); -inf for 0."""
    if math.isnan(snr):
        return math.nan
    return 20.0 * math.log10(snr) if snr > 0.0 else -math.inf
