"""Processes of this machine. They are spawned: a process that runs TensorFlow cannot be forked safely."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor

from bprune.scale.cores import visible_gpus
from bprune.scale.worker import start_worker
from bprune.scale.workers import Workers

__all__ = ["processes"]


@contextlib.contextmanager
def processes(count: int) -> Iterator[Workers]:
    """Processes that work while the body runs; cores, and GPUs where there are several, are divided among them.

    Args:
        count: How many, at least 1.

    Raises:
        UsageError: If there are none.
    """
    context = multiprocessing.get_context("spawn")
    stop, numbers = context.Event(), context.Value("i", 0)
    gpus = visible_gpus()
    if gpus:
        os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")  # else this process takes the memory of all
    pool = ProcessPoolExecutor(
        max(count, 1), mp_context=context, initializer=start_worker, initargs=(count, numbers, stop, gpus)
    )
    try:
        yield Workers(pool, count)
    finally:
        stop.set()
        pool.shutdown(wait=True, cancel_futures=True)
