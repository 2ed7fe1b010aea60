"""The summary of an ensemble from those of its members: a mixture in which every member has the same weight.

The draws of the members are independent of each other, and the members are what they are: the MC standard error of the
mean over M members is sqrt(sum_m stderr_m^2) / M, in which what tells members apart has no part (strata of Cochran
(1977), "Sampling techniques", eq. 5.6). See `bprune.metrics.predictions` for how uncertainty splits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bprune.arrays import AnyArray, FloatArray
from bprune.errors import UsageError
from bprune.inference.statistics import ClassificationSummary, RegressionSummary
from bprune.metrics.entropy import entropy
from bprune.metrics.predictions import average, average_likelihood

__all__ = ["MemberSplit", "mix_summaries", "split_uncertainty"]


@dataclass(frozen=True, eq=False)
class MemberSplit:
    """What members doubt on their own, and what they disagree about.

    Attributes:
        within_members: Mean over members of each member's mutual information, `[example]`, float32, nats; of a
            regression the mean of each member's variance over draws of the predictive mean, `[example, output]`.
        between_members: What remains of the ensemble's mutual information; of a regression the variance over members
            of their predictive means.
    """

    within_members: FloatArray
    between_members: FloatArray


def mix_summaries(
    members: Sequence[ClassificationSummary] | Sequence[RegressionSummary],
) -> ClassificationSummary | RegressionSummary:
    """The summary of an ensemble; blocks of draws stay with the members.

    Args:
        members: The summaries of its members, for the same examples.

    Raises:
        UsageError: If there is no member, or they differ in task or shape.
    """
    parts: Sequence[Any] = members
    shapes = {(type(part), part.mean.shape) for part in parts}
    if len(shapes) != 1:
        raise UsageError(f"members of an ensemble have summaries of the shapes {sorted(map(str, shapes))}")
    mean = average([part.mean for part in parts])
    between = np.asarray(np.var([part.mean for part in parts], axis=0, dtype=np.float64))
    stderr = np.sqrt(np.sum([np.square(part.mc_stderr, dtype=np.float64) for part in parts], axis=0)) / len(parts)
    if isinstance(parts[0], RegressionSummary):
        noise, within = (_mean_square(parts, name) for name in ("aleatoric_stddev", "epistemic_stddev"))
        likelihoods = [part.log_likelihood for part in parts if part.log_likelihood is not None]
        return RegressionSummary(
            mean=mean,
            stddev=_float32(np.sqrt(noise + within + between)),
            aleatoric_stddev=_float32(np.sqrt(noise)),
            epistemic_stddev=_float32(np.sqrt(within + between)),
            mc_stderr=_float32(stderr),
            log_likelihood=average_likelihood(likelihoods) if len(likelihoods) == len(parts) else None,
        )
    total = entropy(mean)
    expected = np.asarray(np.mean([part.expected_entropy for part in parts], axis=0, dtype=np.float64))
    return ClassificationSummary(
        mean=mean,
        stddev=_float32(np.sqrt(_mean_square(parts, "stddev") + between)),
        predictive_entropy=_float32(total),
        expected_entropy=_float32(expected),
        mutual_information=_float32(np.maximum(total - expected, 0.0)),
        mc_stderr=_float32(stderr),
    )


def split_uncertainty(members: Sequence[ClassificationSummary] | Sequence[RegressionSummary]) -> MemberSplit:
    """Split the ensemble's doubt into parts within and between members; see `bprune.metrics.predictions`."""
    parts: Sequence[Any] = members
    if isinstance(parts[0], RegressionSummary):
        between = np.asarray(np.var([part.mean for part in parts], axis=0, dtype=np.float64))
        return MemberSplit(_float32(_mean_square(parts, "epistemic_stddev")), _float32(between))
    own = [entropy(part.mean) for part in parts]
    doubts = [np.maximum(total - part.expected_entropy, 0.0) for total, part in zip(own, parts, strict=True)]
    rest = entropy(average([part.mean for part in parts])) - np.mean(own, axis=0)
    return MemberSplit(_float32(np.asarray(np.mean(doubts, axis=0))), _float32(np.asarray(np.maximum(rest, 0.0))))


def _mean_square(parts: Sequence[Any], name: str) -> AnyArray:
    return np.asarray(np.mean([np.square(getattr(part, name), dtype=np.float64) for part in parts], axis=0))


def _float32(values: AnyArray) -> FloatArray:
    return values.astype(np.float32)
