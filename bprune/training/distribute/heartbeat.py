"""Noticing that another MPI process is gone, where the launcher does not end the job by itself."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np

__all__ = ["Heartbeat"]

_BEAT, _FAREWELL = 0, 1


class Heartbeat:
    """Processes in a ring: each sends its right neighbour a byte now and then, and watches the left one.

    Args:
        comm: An mpi4py communicator of its own.
        patience_s: Silence, in seconds, after which the neighbour counts as lost.
        lost: Called with the neighbour's rank, in the watching thread.
    """

    def __init__(self, comm: Any, patience_s: float, lost: Callable[[int], None]) -> None:
        self._comm = comm
        self._patience_s = patience_s
        self._interval_s = min(2.0, patience_s / 5)
        self._lost = lost
        self._left = (comm.rank - 1) % comm.size
        self._right = (comm.rank + 1) % comm.size
        self._farewell = False
        self._sent: list[Any] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="bprune-heartbeat", daemon=True)

    def start(self) -> None:
        """Begin to send and to watch."""
        self._thread.start()

    def stop(self) -> None:
        """Take leave of both neighbours."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        last = time.monotonic()
        while not self._stop.wait(self._interval_s):
            self._send(_BEAT)
            last = self._listen(last)
        self._send(_FAREWELL)
        while not self._farewell:
            last = self._listen(last)
            time.sleep(0.01)
        for request, _ in self._sent:
            request.Wait()

    def _send(self, signal: int) -> None:
        buffer = np.full(1, signal, np.uint8)
        self._sent = [(request, data) for request, data in self._sent if not request.Test()]
        self._sent.append((self._comm.Isend(buffer, dest=self._right), buffer))

    def _listen(self, last: float) -> float:
        """Take what has come; returns when something last came."""
        now = time.monotonic()
        buffer = np.empty(1, np.uint8)
        while self._comm.Iprobe(source=self._left):
            self._comm.Recv(buffer, source=self._left)
            self._farewell = self._farewell or int(buffer[0]) == _FAREWELL
            last = now
        if now - last > self._patience_s and not self._farewell:
            self._lost(self._left)
        return last
