"""What holds in every process that works for another one."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from bprune.scale.cores import share_cores

__all__ = ["StoppedError", "go_on", "kept", "start_worker", "working"]


class StoppedError(Exception):
    """Nobody waits for the result any more."""


_events: list[Any] = []
_kept: dict[str, Any] = {}
_KEPT = 2
_Made = TypeVar("_Made")
working = threading.RLock()
"""Held by a call that draws: engines are not made for two threads, and use all cores of their process already."""


def start_worker(count: int, numbers: Any, stop: Any, gpus: tuple[str, ...]) -> None:
    """Make a new process a worker: its share of the cores and GPUs, its own handling of signals.

    Args:
        count: How many workers there are.
        numbers: Counts those that have started.
        stop: An event: nobody waits for results any more.
        gpus: The GPUs to divide.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes; the parent ends the others
    with numbers.get_lock():
        number = numbers.value
        numbers.value += 1
    share_cores(number, count)
    if gpus:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpus[number % len(gpus)]
    _events.append(stop)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A parent that is killed cannot say so: a worker without one ends, whatever it does."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def go_on(share: float) -> None:
    """A display of progress that ends a call whose result nobody waits for.

    Raises:
        StoppedError: If that is so.
    """
    if any(event.is_set() for event in _events):
        raise StoppedError


def kept(key: str, make: Callable[[], _Made]) -> _Made:
    """What a process makes once and uses again; the last two things are kept.

    Args:
        key: What names it and all that it depends on, such as a digest.
        make: Makes it.
    """
    with working:
        if key not in _kept:
            for old in list(_kept)[: len(_kept) + 1 - _KEPT]:
                del _kept[old]
            _kept[key] = make()
        made: _Made = _kept[key]
        return made
