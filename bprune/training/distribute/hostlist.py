"""Slurm's short forms of lists: `node[01-03,7]` and `2(x3),1`."""

from __future__ import annotations

import re

from bprune.errors import UsageError

__all__ = ["expand_hosts", "expand_tasks"]


def expand_hosts(text: str) -> list[str]:
    """The hosts of a list such as `node[01-03,7],gpu5` or `r[1-2]n[1-2]`, in order.

    Raises:
        UsageError: If it is not such a list.
    """
    names = re.findall(r"(?:[^,\[\]]|\[[^\[\]]*\])+", text)
    if ",".join(names) != text:
        raise UsageError(f"{text!r} is not a list of hosts in Slurm's form", hint="An example: node[01-03,7],gpu5")
    return [host for name in names for host in _expand(name)]


def _expand(name: str) -> list[str]:
    bracket = re.search(r"\[([^\[\]]*)\]", name)
    if bracket is None:
        return [name]
    before, after = name[: bracket.start()], _expand(name[bracket.end() :])
    return [f"{before}{number}{rest}" for number in _numbers(bracket.group(1)) for rest in after]


def _numbers(text: str) -> list[str]:
    found = []
    for part in text.split(","):
        bounds = re.fullmatch(r"(\d+)(?:-(\d+))?", part)
        if bounds is None:
            raise UsageError(f"{part!r} is not a range of hosts in Slurm's form", hint="An example: node[01-03,7],gpu5")
        first, last = bounds.group(1), bounds.group(2) or bounds.group(1)
        found += [str(number).zfill(len(first)) for number in range(int(first), int(last) + 1)]
    return found


def expand_tasks(text: str) -> list[int]:
    """How many tasks every node has, from a list such as `2(x3),1`.

    Raises:
        UsageError: If it is not such a list.
    """
    found: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"(\d+)(?:\(x(\d+)\))?", part)
        if match is None:
            raise UsageError(f"{text!r} does not count tasks in Slurm's form", hint="An example: 2(x3),1")
        found += [int(match.group(1))] * int(match.group(2) or 1)
    return found
