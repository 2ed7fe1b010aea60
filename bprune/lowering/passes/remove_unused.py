"""Operations that no output needs."""

from __future__ import annotations

from dataclasses import replace

from bprune.lowering.program import Program

__all__ = ["remove_unused"]


def remove_unused(program: Program) -> Program:
    """Remove the operations that no output needs.

    Args:
        program: A legal program.

    Returns:
        The same object if every operation is needed.
    """
    needed = set(program.outputs)
    for op in reversed(program.ops):
        if op.name in needed:
            needed.update(op.inputs)
    kept = tuple(op for op in program.ops if op.name in needed)
    return program if len(kept) == len(program.ops) else replace(program, ops=kept)
