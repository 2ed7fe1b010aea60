"""Every error that BPrune raises on purpose, and the exit code that each one ends a command with.

Each class also inherits the builtin that a caller would expect to catch. A message says what came and what is
allowed; `hint` says what to do next.
"""

from __future__ import annotations

__all__ = [
    "AmbiguousCaseError",
    "BPruneError",
    "DamagedFileError",
    "EngineError",
    "InputError",
    "MissingExtraError",
    "MissingFileError",
    "NotLoweredError",
    "OutputError",
    "RefusedGraphError",
    "SelfCheckError",
    "TargetError",
    "UnsupportedError",
    "UsageError",
]


class BPruneError(Exception):
    """Base of all BPrune errors.

    Args:
        message: What came and what is allowed, in one sentence.
        hint: What to do next, or None.
    """

    exit_code = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n{self.hint}" if self.hint else self.message


class MissingExtraError(BPruneError, ImportError):
    """A library that only some commands need is not installed."""


class UsageError(BPruneError, ValueError):
    """An argument or option has a value that is never allowed."""

    exit_code = 2


class TargetError(BPruneError, ValueError):
    """What was asked for cannot be reached with this network (for example a threshold that empties a layer)."""

    exit_code = 3


class InputError(BPruneError, ValueError):
    """An input cannot be used as it is."""

    exit_code = 4


class MissingFileError(InputError, FileNotFoundError):
    """A file that is needed is not there."""


class DamagedFileError(InputError):
    """A file is truncated, altered, or not of the format that it claims."""


class RefusedGraphError(InputError, PermissionError):
    """A graph holds operations that BPrune does not run."""


class AmbiguousCaseError(InputError):
    """More than one reading of a case is possible; the message lists the candidates."""


class UnsupportedError(InputError, NotImplementedError):
    """The input is sound, but of a kind that BPrune does not handle."""


class NotLoweredError(UnsupportedError):
    """A network that cannot be turned into a program; the engine `graph` still runs it."""


class SelfCheckError(BPruneError, ArithmeticError):
    """A numerical self-check failed (for example non-finite probabilities)."""

    exit_code = 5


class OutputError(BPruneError, OSError):
    """An output cannot be written; nothing was left behind."""

    exit_code = 6


class EngineError(BPruneError, RuntimeError):
    """An engine or its workers are not available."""

    exit_code = 7
