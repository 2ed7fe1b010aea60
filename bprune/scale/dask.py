"""Workers of a Dask cluster that is running already."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from bprune.errors import EngineError, MissingExtraError
from bprune.scale.workers import Workers

__all__ = ["dask_workers"]

_TIMEOUT_S = 20.0
_HINT = (
    "Memory may be short: give each worker more, or pass a smaller --batch-size. Every worker needs this version of "
    "BPrune, and has to see the case under the same path."
)


@contextlib.contextmanager
def dask_workers(address: str) -> Iterator[Workers]:
    """The workers of a cluster, each with one thread.

    Args:
        address: Where its scheduler listens, such as tcp://10.0.0.1:8786, or tls:// with Dask's own configuration.

    Raises:
        MissingExtraError: If Dask is not installed.
        EngineError: If the scheduler does not answer, or has no workers.
    """
    try:
        from distributed import Client, KilledWorker
        from distributed.comm.core import CommClosedError
    except ImportError as error:
        raise MissingExtraError(
            f"--dask needs Dask: {error}", hint='Install it with: pip install "bprune[dask]"'
        ) from error
    try:
        client = Client(address, timeout=_TIMEOUT_S, set_as_default=False)
    except (OSError, ValueError) as error:  # no answer, or no address
        raise EngineError(
            f"the Dask scheduler {address} cannot be reached: {error}",
            hint="Start one with `dask scheduler` and workers with `dask worker ADDRESS --nthreads 1`.",
        ) from error
    with client:
        count = len(client.nthreads())
        if not count:
            raise EngineError(
                f"the Dask scheduler {address} has no workers", hint=f"Start some: dask worker {address} --nthreads 1"
            )
        yield Workers(client.get_executor(pure=False), count, (KilledWorker, CommClosedError), _HINT)
