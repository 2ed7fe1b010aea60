"""Compaction: units that pruning has cut off from the input or from the output go."""

from __future__ import annotations

from bprune.lowering.passes.dead_units.entries import entries_of
from bprune.lowering.passes.dead_units.forward import known_units
from bprune.lowering.passes.dead_units.groups import group_units
from bprune.lowering.passes.dead_units.needed import needed_units
from bprune.lowering.passes.dead_units.rebuild import rebuilt
from bprune.lowering.passes.remove_unused import remove_unused
from bprune.lowering.program import Program

__all__ = ["remove_dead_units"]


def remove_dead_units(program: Program) -> Program:
    """Remove units (features, filters) without a live weight towards them or from them, again and again.

    A unit without a live weight towards it is a constant, often not 0: its bias, through the activations behind it. The
    layers that read it take the constant over: into their bias where the weights are fixed, and as `constant` units,
    with the same noise, where they are sampled. A unit that no live weight leads to an output from is left out. Units
    that can only go together (both sides of a sum; the features of a flattened channel) go when none of them is needed.
    The features of the input stay, and the layers that do not need all of them select.

    A tensor keeps one unit at least, needed or not. The program computes the same numbers as before, given the same
    draws, up to the rounding of sums (law 6).

    Args:
        program: A legal program, masked if it is to shrink.

    Returns:
        The same object if nothing can go.
    """
    program = remove_unused(program)
    while True:
        smaller = _one_round(program)
        if smaller is program:
            return program
        program = remove_unused(smaller)


def _one_round(program: Program) -> Program:
    entries = entries_of(program)
    known = known_units(program, entries)
    needed = needed_units(program, group_units(program), known, entries)
    return rebuilt(program, needed, known, entries)
