"""Gradients averaged through MPI, by mpi4py: one Allreduce a step."""

from __future__ import annotations

import os
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Sequence
from types import TracebackType
from typing import Any

import numpy as np
import tensorflow as tf

from bprune.arrays import AnyArray
from bprune.errors import BPruneError, EngineError, MissingExtraError
from bprune.training.distribute.collectives import Collectives
from bprune.training.distribute.distribution import Distribution
from bprune.training.distribute.gpu import take_gpu
from bprune.training.distribute.heartbeat import Heartbeat
from bprune.training.distribute.mode import Mode
from bprune.training.distribute.ranks import Ranks

__all__ = ["Mpi"]


class MpiCollectives(Collectives):
    """Exchanges over an mpi4py communicator, through buffers: nothing is pickled.

    MPI libraries wait in a loop that keeps a core busy, which TensorFlow's threads need. So every exchange begins with
    a barrier that sleeps until all have come.
    """

    def __init__(self, comm: Any) -> None:
        self.comm = comm
        self.rank = comm.rank
        self.size = comm.size

    def meet(self) -> None:
        """Wait, asleep, until all processes have come here."""
        request = self.comm.Ibarrier()
        pause_s = 1e-5
        while not request.Test():
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, 1e-3)

    def average(self, vector: Any) -> Any:
        """The mean of a vector over processes."""
        return tf.numpy_function(self._average, [vector], vector.dtype)

    def _average(self, vector: AnyArray) -> AnyArray:
        total = np.empty_like(vector)
        self.meet()
        self.comm.Allreduce(np.ascontiguousarray(vector), total)
        total /= vector.dtype.type(self.size)
        return total

    def from_chief(self, value: AnyArray) -> AnyArray:
        """The chief's array, sent as bytes."""
        buffer = np.array(value, order="C")
        self.meet()
        self.comm.Bcast(buffer.reshape(-1).view(np.uint8), root=0)
        return buffer

    def gather(self, numbers: Sequence[float]) -> list[list[float]]:
        """The numbers of all processes."""
        found = np.empty((self.size, len(numbers)), np.float64)
        self.meet()
        self.comm.Allgather(np.array(numbers, np.float64), found)
        return [[float(number) for number in row] for row in found]


class Mpi(Ranks):
    """The processes of MPI's world as workers; start them with `mpiexec -n 4 python train.py` or `srun`.

    A process that ends with an exception, or is killed, ends the job: exceptions abort all processes at once, and
    every process watches a neighbour, whose silence of `patience_s` seconds aborts them too. Each process takes one
    GPU of its machine, in turn.

    Args:
        seed: The job's seed.
        patience_s: Silence of a process, in seconds, after which it counts as lost.

    Raises:
        MissingExtraError: If mpi4py or an MPI library is missing.
        EngineError: If the MPI library does not allow calls from several threads.
    """

    mode = Mode.MPI

    def __init__(self, seed: int | None, patience_s: float) -> None:
        mpi = _mpi4py()
        if mpi.Query_thread() < mpi.THREAD_SERIALIZED:
            raise EngineError(
                "the MPI library allows calls from its first thread only, but TensorFlow calls from others",
                hint="Use an MPI library with MPI_THREAD_MULTIPLE, or distribute with multiworker.",
            )
        self._comm = mpi.COMM_WORLD.Dup()
        self._patience_s = patience_s
        self._heartbeat: Heartbeat | None = None
        self._watches = mpi.Query_thread() == mpi.THREAD_MULTIPLE
        self._exchange = MpiCollectives(self._comm)
        super().__init__(self._exchange, seed)
        take_gpu(self._comm.Split_type(mpi.COMM_TYPE_SHARED).rank)

    def __enter__(self) -> Distribution:
        if self.size > 1 and self._watches:
            self._heartbeat = Heartbeat(self._comm.Dup(), self._patience_s, self._lost)
            self._heartbeat.start()
        elif self.size > 1 and self.is_chief:
            warnings.warn(
                "this MPI library does not allow calls from several threads at once: whether a lost process ends the "
                "job is up to the launcher (srun --kill-on-bad-exit)",
                UserWarning,
                stacklevel=2,
            )
        return super().__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, trace)
        if error is not None and self.size > 1 and _exit_code(error):
            _tell(error)
            self._abort(_exit_code(error))
        self._exchange.meet()
        if self._heartbeat is not None:
            self._heartbeat.stop()

    def _lost(self, rank: int) -> None:
        error = EngineError(
            f"worker {rank} of {self.size} has not been heard of for {self._patience_s:g} s; the job ends",
            hint="Start it again with the same resume_dir: it goes on after the last whole epoch.",
        )
        print(f"EngineError on worker {self.rank}: {error}", file=sys.stderr, flush=True)
        self._abort(error.exit_code)

    def _abort(self, code: int) -> None:
        """End all processes; this one by force if MPI has not ended it after five seconds."""
        timer = threading.Timer(5.0, os._exit, [code])
        timer.daemon = True
        timer.start()
        sys.stdout.flush()
        self._comm.Abort(code)


def _mpi4py() -> Any:
    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:
        raise MissingExtraError(
            f"training over MPI needs mpi4py and an MPI library: {str(error).splitlines()[0]}",
            hint="pip install bprune[mpi], and load the site's MPI library or pip install mpich; MPI4PY_LIBMPI names a "
            "library that is not found.",
        ) from None
    return MPI


def _exit_code(error: BaseException) -> int:
    """The exit code of an exception that leaves the program; 0 where it is no failure."""
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else int(error.code is not None)
    if isinstance(error, BPruneError):
        return error.exit_code
    return 130 if isinstance(error, KeyboardInterrupt) else 1


def _tell(error: BaseException) -> None:
    if isinstance(error, SystemExit):
        if not isinstance(error.code, int):
            print(error.code, file=sys.stderr)
    else:
        traceback.print_exception(error)
    sys.stderr.flush()
