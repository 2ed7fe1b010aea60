"""Small pieces of HTML for notebooks and reports. Text is escaped here and nowhere else: callers hand in plain text.

Names come from files of strangers. A character that cannot be seen (a control character, one that reverses the
direction of writing) is shown as its escape, a very long name is cut, and mathematics is not typeset.
"""

from __future__ import annotations

import functools
import html
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

__all__ = ["MOST_ROWS", "escaped", "facts", "panel", "shown", "table"]

MOST_ROWS = 60
"""Longer tables are cut, and say by how much."""

_LONGEST = 1000
_TABLE = "border-collapse:collapse;margin:0.5em 0"
_CELL = "padding:0.15em 0.8em 0.15em 0;vertical-align:top"
_Shown = TypeVar("_Shown")


def escaped(text: object) -> str:
    """Any text as HTML that shows exactly this text."""
    plain = str(text)
    if len(plain) > _LONGEST:
        plain = f"{plain[:_LONGEST]}... ({len(plain)} characters)"
    return html.escape("".join(_visible(char) for char in plain))


def table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, text_columns: int = 1) -> str:
    """A table.

    Args:
        columns: Headings.
        rows: Cells, plain text; rows beyond `MOST_ROWS` are left out with a note, except the last.
        text_columns: How many columns, from the left, are text; the others are numbers and stand right.
    """
    aligns = ["left" if index < text_columns else "right" for index in range(len(columns))]
    head = "".join(_cell("th", text, align) for text, align in zip(columns, aligns, strict=True))
    lines = ["".join(_cell("td", text, align) for text, align in zip(row, aligns, strict=True)) for row in rows]
    if len(lines) > MOST_ROWS:
        note = _cell("td", f"{len(lines) - MOST_ROWS} rows are not shown", "left", f' colspan="{len(columns)}"')
        lines = [*lines[: MOST_ROWS - 1], note, lines[-1]]
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    return f'<table style="{_TABLE}"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'


def facts(pairs: Mapping[str, str]) -> str:
    """What something is, as a table of names and plain texts."""
    rows = "".join(
        f'<tr><th scope="row" style="text-align:left;{_CELL}">{escaped(name)}</th>'
        f'<td style="text-align:left;{_CELL}">{escaped(text)}</td></tr>'
        for name, text in pairs.items()
    )
    return f'<table style="{_TABLE}"><tbody>{rows}</tbody></table>'


def panel(title: str, *parts: str) -> str:
    """A heading (plain text) above pieces of HTML."""
    return f'<div class="bprune mathjax_ignore tex2jax_ignore"><strong>{escaped(title)}</strong>{"".join(parts)}</div>'


def shown(render: Callable[[_Shown], str]) -> Callable[[_Shown], str]:
    """Make a function to HTML that never raises: what goes wrong is said in place of the content.

    To show a value must not end a notebook that only mentions it at the end of a cell.
    """

    @functools.wraps(render)
    def safe(value: _Shown) -> str:
        try:
            return render(value)
        except Exception as error:
            return panel(type(value).__name__, f"<p>It cannot be shown: {escaped(error) or type(error).__name__}</p>")

    return safe


def _cell(tag: str, text: str, align: str, more: str = "") -> str:
    return f'<{tag}{more} style="text-align:{align};{_CELL}">{escaped(text)}</{tag}>'


def _visible(char: str) -> str:
    return char if char.isprintable() else char.encode("unicode_escape").decode("ascii")
