"""What a pruning criterion is: a score per weight; the lowest scores are pruned first."""

from __future__ import annotations

from typing import Protocol

from bprune.arrays import Float64Array
from bprune.posterior.posterior import Posterior

__all__ = ["Criterion"]


class Criterion(Protocol):
    """A pruning criterion."""

    @property
    def name(self) -> str:
        """The criterion's name on the command line and in files."""
        ...

    @property
    def unit(self) -> str:
        """The unit of the scores, for tables and axes."""
        ...

    def score(self, posterior: Posterior) -> Float64Array:
        """The score of every weight, of the weight's shape; finite or +inf, never NaN."""
        ...
