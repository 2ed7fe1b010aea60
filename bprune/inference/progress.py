"""Telling how far a long run is: a bar with the remaining time on a terminal, a few plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol, TextIO

__all__ = ["Progress", "no_progress", "show_progress"]

_LINE_SHARE = 0.1
_LINE_SECONDS = 30.0
_SILENT_SECONDS = 5.0


class Progress(Protocol):
    """Told after every piece of work."""

    def __call__(self, share: float) -> None:
        """Report progress.

        Args:
            share: The share of the work that is done, in [0, 1].
        """
        ...


def no_progress(share: float) -> None:
    """Report nothing."""


@contextmanager
def show_progress(label: str, *, stream: TextIO | None = None, quiet: bool = False) -> Iterator[Progress]:
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
        yield no_progress
    elif target.isatty():
        with _bar(label, target) as bar:
            yield bar
    else:
        yield _Lines(label, target)


@contextmanager
def _bar(label: str, stream: TextIO) -> Iterator[Progress]:
    from rich.console import Console
    from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as RichProgress

    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with RichProgress(*columns, TimeRemainingColumn(), console=Console(file=stream), transient=True) as display:
        task = display.add_task(label, total=1.0)

        def update(share: float) -> None:
            display.update(task, completed=share)

        yield update


class _Lines:
    """A line whenever another tenth is done, or 30 s have passed; nothing for work that ends within seconds."""

    def __init__(self, label: str, stream: TextIO) -> None:
        self._label = label
        self._stream = stream
        self._start = self._last_time = time.monotonic()
        self._last_share = 0.0

    def __call__(self, share: float) -> None:
        now = time.monotonic()
        elapsed = now - self._start
        ends = share >= 1.0 and self._last_share > 0.0
        due = ends or share - self._last_share >= _LINE_SHARE or now - self._last_time >= _LINE_SECONDS
        if not due or elapsed < _SILENT_SECONDS or share <= 0.0:
            return
        left = elapsed * (1.0 - share) / share
        print(f"{self._label}: {share:.0%}, {elapsed:.0f} s, about {left:.0f} s left", file=self._stream, flush=True)
        self._last_share, self._last_time = share, now
