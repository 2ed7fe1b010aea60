"""Workers that each hold a whole network and average their gradients: what MPI and Horovod have in common."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bprune.errors import BPruneError, UnsupportedError, UsageError
from bprune.training.distribute.agreement import Agreement, EndTogether, EpochTogether
from bprune.training.distribute.averaging import averages, averaging_optimizer
from bprune.training.distribute.collectives import Collectives
from bprune.training.distribute.distribution import Distribution
from bprune.training.distribute.seeds import base_seed, seed_of

__all__ = ["Ranks"]


class Ranks(Distribution):
    """Synchronous training: the step of K workers with batches of B is that of one worker with a batch of K*B.

    Every worker's loss is `mean over its batch + kl / N` with N the size of the whole training set; the mean over
    workers is the loss of the joint batch. Moving statistics of batch normalisation are each worker's own during an
    epoch, from batches of B, and averaged at its end, as tf.distribute does.

    Args:
        collectives: How the workers exchange numbers.
        seed: The job's seed, that of the chief; None draws one.
    """

    def __init__(self, collectives: Collectives, seed: int | None) -> None:
        super().__init__()
        self.collectives = collectives
        self.rank = collectives.rank
        self.size = collectives.size
        self.seed = seed_of(int(collectives.gather([base_seed(seed)])[0][0]), self.rank)
        self._agreement = Agreement()

    def optimizer(self, optimizer: Any) -> Any:
        """A copy of the optimizer which averages gradients over workers, then clips and applies them."""
        return averaging_optimizer(optimizer, self.collectives.average, self._agreement)

    def gather(self, numbers: Sequence[float]) -> list[list[float]]:
        """The numbers of all workers."""
        return self.collectives.gather(numbers)

    def take_chiefs(self, variables: Sequence[Any]) -> None:
        """Send the chief's values to the others."""
        self.collectives.take_chiefs(variables)

    def check(self, model: Any) -> None:
        """Refuse what XLA would compile, and an optimizer that does not average."""
        super().check(model)
        if not averages(model.optimizer):
            raise UsageError(
                "the model was not compiled with an optimizer that averages gradients",
                hint="model.compile(optimizer=workers.optimizer(...), ...)",
            )
        if model.jit_compile:
            raise UnsupportedError(
                f"XLA cannot compile the exchange between workers (jit_compile=True) with {self.mode.value}",
                hint="Compile the model without jit_compile, or distribute with multiworker.",
            )

    def meaning(self, error: Exception) -> BPruneError | None:
        """The refusal of gradients that cannot be averaged."""
        refusal, self._agreement.refusal = self._agreement.refusal, None
        return refusal

    def callbacks(self) -> tuple[list[Any], list[Any]]:
        """What keeps the workers in step."""
        return [EpochTogether(self.collectives)], [EndTogether(self.gather, self._agreement)]
