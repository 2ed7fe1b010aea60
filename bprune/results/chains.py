"""The members of an ensemble in a results file: their statistics lie along the axis chain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from bprune.arrays import AnyArray
from bprune.case.task import Task
from bprune.inference.statistics import ClassificationSummary, RegressionSummary

__all__ = ["joined", "member_summaries"]


def member_summaries(
    task: Task, members: Mapping[str, AnyArray], blocks: Mapping[str, AnyArray] | None = None
) -> tuple[ClassificationSummary, ...] | tuple[RegressionSummary, ...]:
    """The summary of each member; what the file does not repeat follows from the rest.

    Args:
        task: What the networks predict.
        members: The variables of the group `members`, each `[chain, example, ...]`.
        blocks: Those of the group `blocks`; None leaves them out.
    """
    chains = range(len(members["mean"]))
    parts = [
        {name: values[chain] for name, values in members.items()}
        | {f"block_{name}": values[chain] for name, values in (blocks or {}).items()}
        for chain in chains
    ]
    if task is Task.REGRESSION:
        return tuple(RegressionSummary(stddev=_total(part), **part) for part in parts)
    return tuple(ClassificationSummary(mutual_information=_information(part), **part) for part in parts)


def _total(part: Mapping[str, AnyArray]) -> AnyArray:
    noise, doubt = (np.square(part[name], dtype=np.float64) for name in ("aleatoric_stddev", "epistemic_stddev"))
    return np.asarray(np.sqrt(noise + doubt), np.float32)


def _information(part: Mapping[str, AnyArray]) -> AnyArray:
    return np.asarray(np.maximum(part["predictive_entropy"] - part["expected_entropy"], np.float32(0.0)))


def joined(draws: Sequence[AnyArray]) -> AnyArray:
    """The draws of several members, `[draw, ...]`, one member after the other; not copied where there is one."""
    return draws[0] if len(draws) == 1 else np.concatenate(draws)
