"""Telling that kernels are being compiled, which a first run on a machine waits for.

It is apart from the compiler, whose import takes half a second and is not always needed.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["CompilationClock", "Watcher", "tell_watchers", "watch_compilation"]

Watcher = Callable[[str], None]
"""Called with a kernel's name when its compilation begins, and with an empty string when it ends."""

_watchers: list[Watcher] = []


@contextmanager
def watch_compilation(watcher: Watcher) -> Iterator[None]:
    """Have something called whenever a kernel is compiled, in whatever thread; loading one from disk is not told.

    Args:
        watcher: What to call.
    """
    _watchers.append(watcher)
    try:
        yield
    finally:
        _watchers.remove(watcher)


def tell_watchers(kernel: str) -> None:
    """Tell all that watch; see `Watcher`."""
    for watcher in tuple(_watchers):
        watcher(kernel)


class CompilationClock:
    """A watcher that adds up how long something is compiled: threads that wait for one compiler count once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running = 0
        self._since = 0.0
        self.seconds = 0.0
        """How long all compilations that ended took."""

    def __call__(self, kernel: str) -> None:
        """See `Watcher`."""
        now = time.perf_counter()
        with self._lock:
            if kernel:
                self._since = self._since if self._running else now
                self._running += 1
            elif self._running:
                self._running -= 1
                self.seconds += 0.0 if self._running else now - self._since
