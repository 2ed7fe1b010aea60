"""Backward: the units that an output needs."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from bprune.arrays import BoolArray
from bprune.lowering.ops import Conv, Dense, Op, Select
from bprune.lowering.passes.dead_units.entries import Entries
from bprune.lowering.passes.dead_units.groups import Groups
from bprune.lowering.passes.dead_units.known import Known
from bprune.lowering.program import Program

__all__ = ["needed_units", "reads"]


def needed_units(
    program: Program, groups: Groups, known: Mapping[str, Known], entries: Mapping[str, Entries]
) -> dict[str, BoolArray]:
    """The units of every tensor that have to stay, `[unit]`, by name.

    A unit is needed if its group must stay, or a needed unit behind it reads it through a live weight and it is not
    constant: a constant is given to its readers once and for all. A tensor keeps one unit at least.

    Args:
        program: A legal program.
        groups: Its groups of units.
        known: Its constant units.
        entries: What is known of its kernels.
    """
    needed = groups.pinned.copy()
    while True:
        before = np.count_nonzero(needed)
        for op in reversed(program.ops):
            if isinstance(op, (Dense, Conv, Select)):
                made = needed[groups.of[op.name]]
                needed[groups.of[op.inputs[0]][_read(op, made, known[op.inputs[0]], entries)]] = True
        if np.count_nonzero(needed) == before and not _one_unit_more(needed, groups, known):
            return {name: needed[group] for name, group in groups.of.items()}


def _read(op: Op, made: BoolArray, before: Known, entries: Mapping[str, Entries]) -> BoolArray:
    if isinstance(op, Select):
        found = np.zeros_like(before.units)
        found[op.units[made]] = True
        return found
    return reads(entries[op.name], made, before)


def reads(entries: Entries, made: BoolArray, before: Known) -> BoolArray:
    """The units that a layer reads through live weights to some of its units, constant ones left out, `[unit]`."""
    return np.asarray(entries.live[: before.units.size][:, made].any(axis=1) & ~before.units)


def _one_unit_more(needed: BoolArray, groups: Groups, known: Mapping[str, Known]) -> bool:
    """Keep one unit of the first tensor that would lose all, a constant one if there is one; False if there is none."""
    for name, group in groups.of.items():
        if not needed[group].any():
            needed[group[np.argmax(known[name].units)]] = True
            return True
    return False
