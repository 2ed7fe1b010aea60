"""Pruning criteria, one file each."""

from __future__ import annotations

from bprune.pruning.criteria.base import Criterion
from bprune.pruning.criteria.snr import Snr

__all__ = ["CRITERIA", "Criterion", "Snr"]

CRITERIA: dict[str, Criterion] = {criterion.name: criterion for criterion in (Snr(),)}
"""The registry: every criterion by its name."""
