"""Which part of a program is the same in every draw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bprune.engines.tensorflow.sampling import is_random
from bprune.lowering.ops import Op
from bprune.lowering.program import Program

__all__ = ["Parts", "split"]


@dataclass(frozen=True, eq=False)
class Parts:
    """A program in two parts.

    Attributes:
        fixed: What depends on the example alone, in order.
        passed: The tensors that the second part reads of the first, the input among them, or that are outputs.
        random: What depends on the draw, in order.
    """

    fixed: tuple[Op, ...]
    passed: tuple[str, ...]
    random: tuple[Op, ...]


def split(program: Program) -> Parts:
    """Divide a program into what is computed once per example and what is computed once per draw."""
    moving: set[str] = set()
    for op in program.ops:
        if is_random(op) or moving.intersection(op.inputs):
            moving.add(op.name)
    random = tuple(op for op in program.ops if op.name in moving)
    read = _names([name for op in random for name in op.inputs], program.outputs)
    passed = tuple(name for name in read if name not in moving)
    return Parts(_needed([op for op in program.ops if op.name not in moving], passed), passed, random)


def _names(*groups: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(name for group in groups for name in group))


def _needed(ops: Sequence[Op], wanted: Sequence[str]) -> tuple[Op, ...]:
    needed, kept = set(wanted), []
    for op in reversed(ops):
        if op.name in needed:
            needed.update(op.inputs)
            kept.append(op)
    return tuple(reversed(kept))
