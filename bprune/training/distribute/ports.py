"""The open ports of tf.distribute: a warning, a check before the start, and watching that others still answer."""

from __future__ import annotations

import os
import socket
import sys
import threading
import time
import warnings
from collections.abc import Callable, Sequence

from bprune.errors import EngineError
from bprune.training.distribute.cluster import Cluster

__all__ = ["Deadline", "PortWatch", "check_own_port", "end_process", "warn_of_open_ports"]


def warn_of_open_ports(cluster: Cluster) -> None:
    """Say what listens where, once per job."""
    if cluster.address == cluster.all_addresses[0]:
        warnings.warn(
            f"TensorFlow opens ports on all network interfaces of {len(cluster.all_addresses)} processes "
            f"({', '.join(cluster.all_addresses[:4])}{', ...' if len(cluster.all_addresses) > 4 else ''}). Whoever "
            "reaches them can run any graph, without a password or encryption: use them in a network of your own only",
            UserWarning,
            stacklevel=4,
        )


def check_own_port(cluster: Cluster) -> None:
    """Check that this process's port is free.

    Raises:
        EngineError: If it is not.
    """
    port = int(cluster.address.rpartition(":")[2])
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
        except OSError as error:
            raise EngineError(
                f"port {port} of this machine cannot be used: {error}",
                hint="Another job may use it: pass another port to distribute(..., port=), or set TF_CONFIG.",
            ) from None


def end_process(error: EngineError) -> None:
    """Print an error and end this process at once, whatever TensorFlow is waiting for."""
    print(f"EngineError: {error}", file=sys.stderr, flush=True)
    sys.stdout.flush()
    os._exit(error.exit_code)


class Deadline:
    """Ends the process if a block takes too long; a context manager.

    Args:
        seconds: How long the block may take.
        what: What did not happen by then.
    """

    def __init__(self, seconds: float, what: str) -> None:
        error = EngineError(f"{what} within {seconds:g} s", hint="See the output of the other processes.")
        self._timer = threading.Timer(seconds, end_process, [error])
        self._timer.daemon = True

    def __enter__(self) -> None:
        self._timer.start()

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()


class PortWatch:
    """Connects to other processes now and then, to see that they live.

    Args:
        addresses: `host:port` of each.
        patience_s: How long, in seconds, one may not answer, once it has, before it counts as lost.
        lost: Called with the address, in the watching thread.
    """

    def __init__(self, addresses: Sequence[str], patience_s: float, lost: Callable[[str], None]) -> None:
        self._last: dict[str, float | None] = dict.fromkeys(addresses)
        self._patience_s = patience_s
        self._lost = lost
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="bprune-port-watch", daemon=True)

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def stop(self) -> None:
        """Watch no longer."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(min(2.0, self._patience_s / 5)):
            for address, last in list(self._last.items()):
                if _answers(address, self._patience_s / 5):
                    self._last[address] = time.monotonic()
                elif last is not None and time.monotonic() - last > self._patience_s and not self._stop.is_set():
                    self._lost(address)


def _answers(address: str, timeout_s: float) -> bool:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout_s).close()
    except OSError:
        return False
    return True
