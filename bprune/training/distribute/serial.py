"""One process: what a script does without distribution."""

from __future__ import annotations

from collections.abc import Sequence

from bprune.training.distribute.distribution import Distribution
from bprune.training.distribute.mode import Mode
from bprune.training.distribute.seeds import base_seed

__all__ = ["Serial"]


class Serial(Distribution):
    """One worker. Its seed is the job's."""

    mode = Mode.NONE
    rank = 0
    size = 1

    def __init__(self, seed: int | None) -> None:
        super().__init__()
        self.seed = base_seed(seed)

    def gather(self, numbers: Sequence[float]) -> list[list[float]]:
        """The numbers of the one worker."""
        return [list(numbers)]
