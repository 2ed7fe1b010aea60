"""Telling how far a long run is: a bar with the remaining time on a terminal, a few plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol, TextIO

from bprune.engines.compilation import CompilationClock

__all__ = ["Display", "Progress", "no_progress", "parts_of", "show_progress"]

_LINE_SHARE = 0.1
_LINE_SECONDS = 30.0
_SILENT_SECONDS = 5.0
_COMPILING = "compiling kernels for this machine"


class Progress(Protocol):
    """Told after every piece of work."""

    def __call__(self, share: float) -> None:
        """Report progress.

        Args:
            share: The share of the work that is done, in [0, 1].
        """
        ...


def parts_of(progress: Progress, parts: int) -> list[Progress]:
    """What tells each of several equal parts of the work, one after the other.

    Args:
        progress: Told the share of the whole.
        parts: How many parts there are.
    """

    def teller(number: int) -> Progress:
        return lambda share: progress((number + share) / parts)

    return [teller(number) for number in range(parts)]


class Display(Progress, Protocol):
    """What shows progress, and what a run waits for."""

    def compiling(self, kernel: str) -> None:
        """Tell that a kernel is compiled; see `bprune.engines.compilation.Watcher`."""
        ...


def no_progress(share: float) -> None:
    """Report nothing."""


@contextmanager
def show_progress(label: str, *, stream: TextIO | None = None, quiet: bool = False) -> Iterator[Display]:
    """A progress display on standard error.

    Args:
        label: What is being done.
        stream: Where to write; standard error when None.
        quiet: Write nothing.

    Yields:
        What to call with the share of the work that is done.
    """
    target = sys.stderr if stream is None else stream
    if quiet:
        yield _Nothing()
    elif target.isatty():
        with _bar(label, target) as bar:
            yield bar
    else:
        lines = _Lines(label, target)
        yield lines
        lines.end_compilation()


class _Nothing:
    """Shows nothing."""

    def __call__(self, share: float) -> None:
        pass

    def compiling(self, kernel: str) -> None:
        pass


@contextmanager
def _bar(label: str, stream: TextIO) -> Iterator[Display]:
    from rich.console import Console
    from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as RichProgress

    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with RichProgress(*columns, TimeRemainingColumn(), console=Console(file=stream), transient=True) as display:
        yield _Bar(label, display, display.add_task(label, total=1.0))


class _Bar:
    """A bar of rich; while kernels are compiled its text says so."""

    def __init__(self, label: str, display: Any, task: Any) -> None:
        self._label, self._display, self._task = label, display, task

    def __call__(self, share: float) -> None:
        self._display.update(self._task, completed=share)

    def compiling(self, kernel: str) -> None:
        """Change the text."""
        label = f"{_COMPILING}: {kernel}" if kernel else self._label
        self._display.update(self._task, description=label, refresh=True)


class _Lines:
    """A line whenever another tenth is done, or 30 s have passed; nothing for work that ends within seconds."""

    def __init__(self, label: str, stream: TextIO) -> None:
        self._label = label
        self._stream = stream
        self._start = self._last_time = time.monotonic()
        self._last_share = 0.0
        self._clock: CompilationClock | None = None

    def __call__(self, share: float) -> None:
        self.end_compilation()
        now = time.monotonic()
        elapsed = now - self._start
        ends = share >= 1.0 and self._last_share > 0.0
        due = ends or share - self._last_share >= _LINE_SHARE or now - self._last_time >= _LINE_SECONDS
        if not due or elapsed < _SILENT_SECONDS or share <= 0.0:
            return
        left = elapsed * (1.0 - share) / share
        self._print(f"{share:.0%}, {elapsed:.0f} s, about {left:.0f} s left")
        self._last_share, self._last_time = share, now

    def compiling(self, kernel: str) -> None:
        """A line before the first kernel; one follows when something is done again."""
        if self._clock is None:
            self._print(_COMPILING)
            self._clock = CompilationClock()
        self._clock(kernel)

    def end_compilation(self) -> None:
        """A line, if kernels were compiled; what that took says nothing of the rest."""
        if self._clock is not None:
            self._print(f"compiled in {self._clock.seconds:.0f} s; {_kept()}")
            self._start += self._clock.seconds
            self._clock = None

    def _print(self, text: str) -> None:
        print(f"{self._label}: {text}", file=self._stream, flush=True)


def _kept() -> str:
    from bprune.engines.native.jit import cache_folder

    is_kept = cache_folder() is not None
    return "later runs load them" if is_kept else "no folder can be written to keep them, see bprune doctor"
