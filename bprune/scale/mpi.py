"""Ranks of MPI: rank 0 runs the command, all others work for it.

All ranks begin with the same command line. Only rank 0 reads it, prints and writes files.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

from bprune.errors import EngineError, MissingExtraError
from bprune.scale.cores import share_cores
from bprune.scale.workers import Workers

__all__ = ["mpi_workers", "run_ranks"]

_INTERRUPTED = 128
"""Exit codes above this tell of a signal."""
_executors: list[tuple[Any, int]] = []


def run_ranks(command: Callable[[], int]) -> int:
    """Run a command on rank 0 while all other ranks work for it.

    Args:
        command: What rank 0 does; its exit code.

    Returns:
        That exit code on rank 0, and 0 on the others. Where it tells of a signal all ranks are ended at once.

    Raises:
        MissingExtraError: If mpi4py is not installed.
        EngineError: If there is one rank alone.
    """
    MPI = _mpi()  # noqa: N806
    from mpi4py.futures import MPICommExecutor

    world = MPI.COMM_WORLD
    if world.size < 2:
        raise EngineError(
            "--mpi has one process alone, and rank 0 hands out the work",
            hint="Start it under a launcher, as in: mpiexec -n 5 bprune ... --mpi (or srun -n 5, or PBS's mpiexec). "
            "On one machine --workers N does the same.",
        )
    _share_machine(MPI, world)
    executor: Any
    with MPICommExecutor(world, root=0) as executor:
        if executor is None:
            return 0
        _executors.append((executor, world.size - 1))
        try:
            code = command()
        finally:
            _executors.clear()
        if code > _INTERRUPTED:
            sys.stderr.flush()
            world.Abort(code)
        if code:
            executor.shutdown(wait=False, cancel_futures=True)
    return code


@contextlib.contextmanager
def mpi_workers() -> Iterator[Workers]:
    """The ranks that work for this one.

    Raises:
        MissingExtraError: If mpi4py is not installed.
        EngineError: If this is not rank 0 of a command that was started with --mpi.
    """
    if not _executors:
        _mpi()
        raise EngineError(
            "--mpi works for commands alone: the ranks have to begin together",
            hint="In a program pass executor=, such as that of mpi4py.futures.MPICommExecutor.",
        )
    executor, count = _executors[-1]
    yield Workers(executor, count)


def _mpi() -> Any:
    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:  # RuntimeError: no MPI library
        raise MissingExtraError(
            f"--mpi needs mpi4py and an MPI library: {str(error).splitlines()[0]}",
            hint='Install it with pip install "bprune[mpi]", and load the site\'s MPI library or pip install mpich; '
            "MPI4PY_LIBMPI names a library that is not found. On one machine --workers N needs neither.",
        ) from error
    return MPI


def _share_machine(MPI: Any, world: Any) -> None:  # noqa: N803
    """Divide the cores among the ranks of a machine, where the launcher has not."""
    here = world.Split_type(MPI.COMM_TYPE_SHARED)
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    if here.size > 1 and all(other == cores for other in here.allgather(cores)):
        share_cores(here.rank, here.size)
    here.Free()
