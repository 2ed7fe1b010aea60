"""Horovod, where the site has it: looked for when it is asked for, since it has no release for today's TensorFlow."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from bprune.arrays import AnyArray
from bprune.errors import EngineError, MissingExtraError
from bprune.training.distribute.collectives import Collectives
from bprune.training.distribute.gpu import take_gpu
from bprune.training.distribute.mode import Mode
from bprune.training.distribute.ranks import Ranks

__all__ = ["Horovod"]

_MODULE = "horovod.tensorflow"
_CALLS = ("init", "rank", "size", "local_rank", "allreduce", "allgather", "broadcast", "Average")


class HorovodCollectives(Collectives):
    """Exchanges through Horovod's operations.

    Args:
        hvd: The module `horovod.tensorflow`, initialised.
    """

    def __init__(self, hvd: Any) -> None:
        self._hvd = hvd
        self.rank = int(hvd.rank())
        self.size = int(hvd.size())

    def average(self, vector: Any) -> Any:
        """The mean of a vector over processes, on GPUs through NCCL where Horovod was built with it."""
        return self._hvd.allreduce(vector, op=self._hvd.Average)

    def from_chief(self, value: AnyArray) -> AnyArray:
        """The chief's array."""
        received: AnyArray = self._hvd.broadcast(tf.constant(value), root_rank=0).numpy()
        return received

    def gather(self, numbers: Sequence[float]) -> list[list[float]]:
        """The numbers of all processes."""
        found = self._hvd.allgather(tf.constant([list(numbers)], tf.float64)).numpy()
        return [[float(number) for number in row] for row in found]


class Horovod(Ranks):
    """The processes that `horovodrun` started; it ends all of them when one is lost.

    Args:
        seed: The job's seed; None draws one.

    Raises:
        MissingExtraError: If Horovod is not installed.
        EngineError: If it cannot be used as it is.
    """

    mode = Mode.HOROVOD

    def __init__(self, seed: int | None) -> None:
        hvd = _horovod()
        hvd.init()
        take_gpu(int(hvd.local_rank()))
        super().__init__(HorovodCollectives(hvd), seed)


def _horovod() -> Any:
    try:
        hvd = importlib.import_module(_MODULE)
    except ImportError as error:
        raise MissingExtraError(
            f"Horovod is not installed, or was built for another TensorFlow: {error}",
            hint="Distribute with mpi, which does the same; docs/training.md says how Horovod 0.28.1 can be built.",
        ) from None
    missing = [name for name in _CALLS if not hasattr(hvd, name)]
    if missing:
        raise EngineError(f"{_MODULE} has no {', '.join(missing)}", hint="Horovod 0.28 has; or distribute with mpi.")
    return hvd
