"""Points of a sweep in several processes. They are spawned: a process that runs TensorFlow cannot be forked safely."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import TYPE_CHECKING, Any

from bprune.errors import EngineError
from bprune.judgement.sweep import SweepPoint
from bprune.stderr import discarded_stderr

if TYPE_CHECKING:
    from bprune.judgement.levels import Level
    from bprune.judgement.measure import Study

__all__ = ["measure_in_processes"]


def measure_in_processes(study: Study, levels: Sequence[Level], workers: int) -> Iterator[SweepPoint]:
    """Measure points in processes of their own, as they finish; the values are those of one process.

    Cores are divided among the processes where the system can do that.

    Args:
        study: What all points have in common, the reference included.
        levels: The networks.
        workers: Number of processes, at least 1.

    Raises:
        EngineError: If a process ends before its work is done.
        BPruneError: What a point raises.
    """
    context = multiprocessing.get_context("spawn")
    stop, numbers, studies = context.Event(), context.Value("i", 0), context.Queue()
    for _ in range(workers):
        studies.put(study)
    pool = ProcessPoolExecutor(
        workers, mp_context=context, initializer=_start, initargs=(workers, numbers, studies, stop, os.getpid())
    )
    try:
        futures: list[Future[SweepPoint]] = [pool.submit(_measure, level) for level in levels]
        for future in as_completed(futures):
            yield future.result()
    except BrokenProcessPool as error:
        raise EngineError(
            "a worker process ended before its work was done",
            hint="Memory may be short: pass fewer --workers, or a smaller --batch-size. A Python script that calls "
            'bprune.sweep(workers=...) needs `if __name__ == "__main__":` around it.',
        ) from error
    finally:
        stop.set()
        pool.shutdown(wait=True, cancel_futures=True)
        studies.cancel_join_thread()
        studies.close()


class _StoppedError(Exception):
    """The parent wants no more points, or is gone."""


_worker: dict[str, Any] = {}
"""What this process was given, when it is a worker."""


def _start(workers: int, numbers: Any, studies: Any, stop: Any, parent: int) -> None:
    """Make a new process a worker: its share of the cores, its own handling of signals, TensorFlow without messages."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes; the parent ends the others
    with numbers.get_lock():
        number = numbers.value
        numbers.value += 1
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        with contextlib.suppress(OSError):
            os.sched_setaffinity(0, set(cores[number % len(cores) :: workers]))
    with discarded_stderr():
        _worker["study"] = studies.get()  # it holds graphs and arrays of TensorFlow, which is imported here
    _worker.update(stop=stop, parent=parent)


def _measure(level: Level) -> SweepPoint:
    from bprune.judgement.measure import measure_level

    study: Study = _worker["study"]
    prepared = study.prepare(level)
    return measure_level(study, level, prepared, study.predict(prepared, _go_on))


def _go_on(share: float) -> None:
    if _worker["stop"].is_set() or os.getppid() != _worker["parent"]:
        raise _StoppedError
