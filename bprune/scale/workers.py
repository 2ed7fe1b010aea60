"""Calls of functions by workers, with their results in the order of the calls."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import BrokenExecutor, CancelledError
from dataclasses import dataclass
from typing import Any, Protocol

from bprune.errors import EngineError, UsageError

__all__ = ["Executor", "Workers", "open_workers"]

_DEFAULT_COUNT = 8
"""How many workers an executor is taken to have where nobody says."""
_AHEAD = 2
"""Calls per worker that are handed out and not taken back yet: enough to keep all busy, few results in memory."""
_HINT = (
    "Memory may be short: pass fewer workers, or a smaller --batch-size. A Python script that starts processes needs "
    '`if __name__ == "__main__":` around its calls.'
)


class Executor(Protocol):
    """What is needed of an executor; those of `concurrent.futures`, mpi4py, Dask and others have it."""

    def submit(self, function: Callable[..., Any], /, *arguments: Any) -> Any:
        """Begin a call; what comes back has a method `result`."""
        ...


@dataclass(frozen=True, eq=False)
class Workers:
    """Workers that are ready for calls.

    Attributes:
        executor: Who hands out the calls.
        count: Number of workers, at least 1.
        lost: Exceptions besides `concurrent.futures.BrokenExecutor` that tell of a worker that is gone.
        hint: What to do when one is gone.

    Raises:
        UsageError: If there is no worker.
    """

    executor: Executor
    count: int
    lost: tuple[type[BaseException], ...] = ()
    hint: str = _HINT

    def __post_init__(self) -> None:
        if self.count < 1:
            raise UsageError(f"the number of workers is {self.count}; at least 1 is needed")

    def begin(self, function: Callable[[], Any]) -> None:
        """Let every worker make ready, without waiting for it; what goes wrong comes up again with the first call."""
        with contextlib.suppress(BrokenExecutor, *self.lost):
            for _ in range(self.count):
                self.executor.submit(function)

    def results(self, function: Callable[..., Any], calls: Iterable[tuple[Any, ...]]) -> Iterator[Any]:
        """Call a function many times; results come in the order of the calls, as soon as they and all before are there.

        Args:
            function: A function of a module, which every worker can import.
            calls: The arguments of each call, plain data; taken up as they are needed.

        Raises:
            EngineError: If a worker is gone.
            Exception: What a call raises. Calls that have not begun are given up then.
        """
        waiting: deque[Any] = deque()
        try:
            for arguments in calls:
                waiting.append(self._told(self.executor.submit, function, *arguments))
                if len(waiting) > _AHEAD * self.count:
                    yield self._told(waiting.popleft().result)
            while waiting:
                yield self._told(waiting.popleft().result)
        finally:
            for call in waiting:
                getattr(call, "cancel", bool)()

    def _told(self, step: Callable[..., Any], *arguments: Any) -> Any:
        """The value of a step, with one error for all ways to lose a worker."""
        lost: tuple[type[BaseException], ...] = (BrokenExecutor, CancelledError, *self.lost)
        try:
            return step(*arguments)
        except lost as error:
            raise EngineError("a worker process ended before its work was done", hint=self.hint) from error


@contextlib.contextmanager
def open_workers(executor: Executor | None, workers: int | None) -> Iterator[Workers | None]:
    """The workers of a call of the library.

    Args:
        executor: Any executor, which stays open; or None.
        workers: Number of processes to start, or how many workers the executor has; None for 1 process, or 8 workers.

    Yields:
        The workers; None where this process does the work.

    Raises:
        UsageError: If the number is below 1, or the executor is none.
    """
    from bprune.scale.processes import processes

    if workers is not None and workers < 1:
        raise UsageError(f"the number of workers is {workers}; at least 1 is needed")
    if executor is not None:
        if not hasattr(executor, "submit"):
            raise UsageError(
                f"an executor is a {type(executor).__name__}; it needs a method submit, as those of "
                "concurrent.futures have"
            )
        yield Workers(executor, workers or _DEFAULT_COUNT)
    elif workers is None or workers == 1:
        yield None
    else:
        with processes(workers) as started:
            yield started
