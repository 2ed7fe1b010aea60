"""Pruning criteria, one file each."""

from __future__ import annotations

import difflib

from bprune.errors import UsageError
from bprune.pruning.criteria.activation_magnitude import ActivationMagnitude
from bprune.pruning.criteria.activation_moment import ActivationMoment
from bprune.pruning.criteria.base import Activations, Context, Criterion, Prior
from bprune.pruning.criteria.bmr import BayesianModelReduction
from bprune.pruning.criteria.bmr_reduced import ReducedPrior
from bprune.pruning.criteria.expected_magnitude import ExpectedMagnitude
from bprune.pruning.criteria.group_bmr import GroupBayesianModelReduction
from bprune.pruning.criteria.group_snr import GroupSnr
from bprune.pruning.criteria.inclusion import Inclusion
from bprune.pruning.criteria.kl_bits import KlBits
from bprune.pruning.criteria.magnitude import Magnitude
from bprune.pruning.criteria.mse import MseOptimal
from bprune.pruning.criteria.second_moment import SecondMoment
from bprune.pruning.criteria.sign import SignCertainty
from bprune.pruning.criteria.signal_plus_noise import SignalPlusNoise
from bprune.pruning.criteria.snr import Snr
from bprune.pruning.criteria.snr_db import SnrDecibels

__all__ = ["CRITERIA", "Activations", "Context", "Criterion", "Prior", "find_criterion"]

CRITERIA: dict[str, Criterion] = {
    criterion.name: criterion
    for criterion in (
        Snr(),
        SnrDecibels(),
        MseOptimal(),
        SignCertainty(),
        BayesianModelReduction(),
        ReducedPrior(),
        Inclusion(),
        Magnitude(),
        ExpectedMagnitude(),
        SecondMoment(),
        SignalPlusNoise(),
        ActivationMagnitude(),
        ActivationMoment(),
        GroupSnr(),
        GroupBayesianModelReduction(),
        KlBits(),
    )
}
"""The registry: every criterion by its name."""


def find_criterion(name: str) -> Criterion:
    """A criterion by its name.

    Raises:
        UsageError: If there is none of that name.
    """
    if name in CRITERIA:
        return CRITERIA[name]
    near = difflib.get_close_matches(name, CRITERIA, n=1)
    raise UsageError(
        f"there is no criterion {name!r}",
        hint=(f"Did you mean {near[0]}? " if near else "") + f"Criteria: {', '.join(CRITERIA)}.",
    )
