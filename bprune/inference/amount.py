"""How many draws a run makes, and in which portions."""

from __future__ import annotations

from dataclasses import dataclass

from bprune.engines.base import Engine
from bprune.inference.run import Blocks, choose_blocks
from bprune.inference.stopping import Stopping

__all__ = ["Amount"]


@dataclass(frozen=True)
class Amount:
    """How many draws.

    Attributes:
        mc_iters: Draws per example; the most of them with a rule for stopping.
        stopping: When the draws of an example end; None where all have `mc_iters`.
        paired: Whether draws are antithetic pairs.
        batch_size: Examples that are run together; None chooses.
        stored: Whether all draws are stored.
    """

    mc_iters: int
    stopping: Stopping | None = None
    paired: bool = False
    batch_size: int | None = None
    stored: bool = False

    def blocks(self, engine: Engine, examples: int) -> Blocks:
        """How an engine divides a run of so many examples; the engine is made ready for them."""
        return choose_blocks(engine, examples, self.mc_iters, self.batch_size, paired=self.paired, stored=self.stored)
