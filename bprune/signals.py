"""Signals that end a command: they arrive as exceptions, so that unfinished files are removed on the way out.

An exception that is raised inside a callback of a foreign library can be lost there. The signal is remembered, and
whoever works in a loop asks with `raise_pending` after every piece of work.
"""

from __future__ import annotations

import signal
from types import FrameType

__all__ = ["TerminatedError", "install_handlers", "raise_pending"]

_NAMES = ("SIGINT", "SIGTERM", "SIGHUP")
_pending: list[int] = []


class TerminatedError(BaseException):
    """SIGTERM or SIGHUP arrived.

    Args:
        number: The signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.exit_code = 128 + number


def install_handlers() -> None:
    """Handle the signals that end a command, where nobody handles or ignores them already."""
    _pending.clear()
    for name in _NAMES:
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
            signal.signal(number, _handle)


def _handle(number: int, frame: FrameType | None) -> None:
    _pending.append(number)
    raise_pending()


def raise_pending() -> None:
    """Raise for a signal that has arrived.

    Raises:
        KeyboardInterrupt: If it was SIGINT.
        TerminatedError: If it was SIGTERM or SIGHUP.
    """
    if _pending:
        raise KeyboardInterrupt if _pending[-1] == signal.SIGINT else TerminatedError(_pending[-1])
