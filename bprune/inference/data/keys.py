"""Which arrays of a file are the inputs and the labels."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

from bprune.errors import InputError

__all__ = ["PAIRS", "Keys", "choose_keys", "choose_labels_key", "no_such_key"]

PAIRS = (
    ("x", "y"),
    ("x_test", "y_test"),
    ("images", "labels"),
    ("inputs", "targets"),
    ("X", "Y"),
    ("data", "target"),
)
"""Names of inputs and labels, in order of preference."""

_TRAINING = ("x_train", "y_train")
_ALL_PAIRS = (*PAIRS, _TRAINING)
_SHOWN = 20


@dataclass(frozen=True)
class Keys:
    """The names of the chosen arrays.

    Args:
        x: Name of the inputs.
        y: Name of the labels, or None.
        notes: What was assumed.
    """

    x: str
    y: str | None
    notes: tuple[str, ...] = ()


def choose_keys(
    names: Sequence[str], *, source: str, x_key: str | None, y_key: str | None, labels_elsewhere: bool = False
) -> Keys:
    """Choose inputs and labels among a file's arrays.

    Args:
        names: The arrays of the file; a path with `/` where it has groups.
        source: The file, for messages.
        x_key: The user's choice of inputs, or None. Not checked against `names`: the reader knows better.
        y_key: The user's choice of labels, or None.
        labels_elsewhere: Whether the labels come from another file; `y_key` is not looked at then.

    Returns:
        The keys, with a note on all that was not the user's own choice.

    Raises:
        InputError: If the names leave the inputs open; the message lists them.
    """
    if labels_elsewhere:
        x = x_key or _only_inputs(names, source)
        return Keys(x, None, () if x_key else (f"inputs from {x!r}",))
    if x_key and y_key:
        return Keys(x_key, y_key)
    if x_key:
        return _with_note(names, x_key, _partner(names, x_key, _ALL_PAIRS))
    if y_key:
        swapped = tuple((y, x) for x, y in _ALL_PAIRS)
        return _with_note(names, _partner(names, y_key, swapped) or _only_inputs(names, source, but=y_key), y_key)
    for x, y in PAIRS:
        if x in names and y in names:
            return _with_note(names, x, y)
    return _with_note(names, _only_inputs(names, source), None)


def choose_labels_key(names: Sequence[str], *, source: str, y_key: str | None) -> str:
    """Choose the labels in a file that was given for its labels.

    Raises:
        InputError: If the names leave it open; the message lists them.
    """
    known = [y for _, y in PAIRS if y in names]
    if y_key or known or len(names) == 1:
        return y_key or (known or list(names))[0]
    raise InputError(
        f"{source}: no array with a known name for labels; {_listing(names)}", hint="Name it with --y-key."
    )


def no_such_key(source: str, key: str, names: Sequence[str]) -> InputError:
    """The error for a key that is not in the file, with the names that are."""
    near = difflib.get_close_matches(key, names, n=1)
    hint = f"Did you mean {near[0]!r}?" if near else "Name the arrays with --x-key and --y-key."
    return InputError(f"{source} has no array {key!r}; {_listing(names)}", hint=hint)


def _with_note(names: Sequence[str], x: str, y: str | None) -> Keys:
    notes = [f"inputs from {x!r}, " + (f"labels from {y!r}" if y else "no labels found")]
    if {x, y}.isdisjoint(_TRAINING) and _TRAINING[0] in names:
        notes.append(f"the training part {_TRAINING[0]!r} was left out")
    rivals = {name for pair in PAIRS if set(pair) <= set(names) and {x, y}.isdisjoint(pair) for name in pair}
    others = [repr(name) for name in names if name != x and (y is None or name in rivals) and name not in _TRAINING]
    if others:
        notes.append(f"not used: {', '.join(others[:_SHOWN])}")
    return Keys(x, y, tuple(notes))


def _partner(names: Sequence[str], key: str, pairs: Sequence[tuple[str, str]]) -> str | None:
    """The name that belongs to `key`, in the same group of the file, if it is there."""
    group, slash, leaf = key.strip("/").rpartition("/")
    found = dict(pairs).get(leaf)
    path = f"{group}{slash}{found}"
    return path if found and path in names else None


def _only_inputs(names: Sequence[str], source: str, but: str | None = None) -> str:
    known = [x for x, _ in PAIRS if x in names]
    if known:
        return known[0]
    labels = {y for _, y in _ALL_PAIRS} | {but, _TRAINING[0]}
    if len(rest := [name for name in names if name != but]) == 1 and rest[0] not in labels:
        return rest[0]
    allowed = ", ".join(f"({x}, {y})" for x, y in PAIRS)
    raise InputError(
        f"{source}: no arrays with known names for inputs and labels; {_listing(names)}",
        hint=f"Name them with --x-key and --y-key, or use one of the pairs {allowed}.",
    )


def _listing(names: Sequence[str]) -> str:
    if not names:
        return "it has no arrays"
    shown = ", ".join(repr(name) for name in names[:_SHOWN])
    return f"it has {shown}" + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
