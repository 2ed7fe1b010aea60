"""The outcome of a comparison in a few sentences, each with how sure it is."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from bprune.judgement.change import ClassChange, RankCorrelation, ValueChange
from bprune.judgement.noise_floor import NoiseTest

if TYPE_CHECKING:
    from bprune.judgement.compare import MetricChange

__all__ = ["RANKING_LOSS", "VERDICT_METRICS", "verdict"]

VERDICT_METRICS = {"accuracy": "accuracy", "rmse": "RMSE", "nll": "NLL", "ece": "ECE", "crps": "CRPS"}
"""The metrics of the verdict; their intervals hold together."""

RANKING_LOSS = 0.05
"""A ranking is kept when its correlation is at most this far below what two runs of one network have."""


def verdict(
    noise: NoiseTest,
    change: ClassChange | ValueChange,
    uncertainty: RankCorrelation,
    metrics: Mapping[str, MetricChange],
    confidence: float,
) -> str:
    """Put a comparison into words; the arguments are those of `bprune.judgement.compare.Comparison`."""
    sentences = [_difference(noise, change)]
    parts = [_metric(title, metrics[name]) for name, title in VERDICT_METRICS.items() if name in metrics]
    if parts:
        sentences.append(f"{_capital('; '.join(parts))} ({confidence:.0%} for all together).")
    if isinstance(change, ClassChange):
        sentences.append(_flips(change))
    sentences.append(_ranking(uncertainty))
    return " ".join(sentences)


def _difference(noise: NoiseTest, change: ClassChange | ValueChange) -> str:
    if isinstance(change, ClassChange):
        size = f"mean total variation {change.total_variation.mean():.2g}"
        floor = change.noise_total_variation
    else:
        size = f"root mean square shift {math.sqrt(float(np.nanmean(np.square(change.shift)))):.2g} standard deviations"
        floor = change.noise_shift
    if math.isnan(noise.limit):
        return f"The predictions differ by a {size}; how much of it is noise of the draws is not known."
    compared = f"{size}, {floor:.2g} expected of two runs of one network"
    if noise.is_different:
        return f"The predictions differ ({compared}; false alarms below {noise.false_alarm:g})."
    return f"The predictions as a whole do not differ beyond the noise of the draws ({compared})."


def _metric(title: str, item: MetricChange) -> str:
    value, reach = item.difference.value, item.joint_half_width
    if math.isnan(reach):
        return f"{title} changes by {value:+.3g} with an unknown error"
    if item.is_clear:
        return f"{title} {'rises' if value > 0.0 else 'falls'} by {abs(value):.3g} +- {reach:.2g}"
    return f"{title} unchanged within +-{abs(value) + reach:.2g}"


def _flips(change: ClassChange) -> str:
    count, examples = int(change.flipped.sum()), len(change.flipped)
    text = f"{count} of {examples} decisions flip"
    if not math.isnan(change.noise_flips):
        expected = change.noise_flips * examples
        text += f", {expected:.{0 if expected >= 10.0 else 1}f} expected of two runs of one network"
    return text + "."


def _ranking(uncertainty: RankCorrelation) -> str:
    if math.isnan(uncertainty.value):
        return "Uncertainty is the same for all examples in one of the two, so its ranking cannot be compared."
    text = f"rho = {uncertainty.value:.2f}"
    if math.isnan(uncertainty.ceiling):
        return f"Uncertainty ranking: {text}."
    kept = uncertainty.value >= uncertainty.ceiling - RANKING_LOSS
    outcome = "kept" if kept else "not kept"
    return f"Uncertainty ranking {outcome} ({text}; two runs of one network have {uncertainty.ceiling:.2f})."


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
