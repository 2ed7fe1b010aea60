"""What reads a tensor of a program, and nothing else does: operations that one step can run together."""

from __future__ import annotations

from bprune.lowering.ops import Activation, Function, Op
from bprune.lowering.program import Program

__all__ = ["only_reader", "relu_after"]


def only_reader(program: Program, name: str) -> Op | None:
    """The operation that is all that reads a tensor; None where others do, or the tensor is an output."""
    users = program.consumers[name]
    return users[0] if len(users) == 1 and name not in program.outputs else None


def relu_after(program: Program, name: str) -> str | None:
    """The tensor of the relu that is all that reads a tensor."""
    user = only_reader(program, name)
    return user.name if isinstance(user, Activation) and user.function is Function.RELU else None
