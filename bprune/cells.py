"""Numbers and shares as tables show them, on a terminal, in a notebook and in a report."""

from __future__ import annotations

import math

__all__ = ["counted", "number", "percent", "with_error"]


def counted(count: int, noun: str) -> str:
    """A number of things in words: 1 draw, 2 draws."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def number(value: float | None) -> str:
    """A number for a table, four significant digits; a dash for none."""
    return "-" if value is None or math.isnan(value) else f"{value:.4g}"


def percent(share: float) -> str:
    """A share for a table; what only rounds to all or nothing says so."""
    if math.isnan(share):
        return "-"
    if 0.9995 <= share < 1.0:
        return ">99.9%"
    return "<0.1%" if 0.0 < share < 0.0005 else f"{share:.1%}"


def with_error(value: float, stderr: float, *, signed: bool = False) -> str:
    """A number with its standard error; without it where it is not known, a dash for no number.

    Args:
        value: The number.
        stderr: Its standard error, or NaN.
        signed: Whether a positive number has a plus sign, as differences do.
    """
    if math.isnan(value):
        return "-"
    text = f"{value:+.4g}" if signed else f"{value:.4g}"
    return text if math.isnan(stderr) else f"{text} +- {stderr:.2g}"
