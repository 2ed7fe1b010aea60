"""The families of weight posteriors, one file each."""

from __future__ import annotations

from bprune.posterior.families.base import Family
from bprune.posterior.families.laplace import Laplace
from bprune.posterior.families.lognormal import LogNormal
from bprune.posterior.families.normal import Normal

__all__ = ["FAMILIES", "Family", "Laplace", "LogNormal", "Normal"]

FAMILIES: dict[str, Family] = {family.name: family for family in (Normal(), Laplace(), LogNormal())}
"""The registry: every family by its name."""
