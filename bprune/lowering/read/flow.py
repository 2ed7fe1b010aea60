"""Rules for what passes values on: identities, reads of variables, branches that are decided now."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from bprune.lowering.read.context import Context, Rules
from bprune.lowering.read.values import Dead, Known, RefusedError, Unknown, Value

__all__ = ["BRANCHES", "FIRST", "RULES", "branch"]


def _same(context: Context, node: Any, values: list[Value]) -> Value:
    return values[0]


def _all_same(context: Context, node: Any, values: list[Value]) -> list[Value]:
    return values


def _condition(value: Value) -> int:
    """The number that decides which branch is taken.

    Raises:
        RefusedError: If it depends on the example.
    """
    if not isinstance(value, Known) or value.array.size != 1 or value.array.dtype.kind not in "biu":
        raise RefusedError("takes a branch that depends on the example")
    return int(value.array.reshape(()))


def _switch(context: Context, node: Any, values: list[Value]) -> list[Value]:
    """Two outputs, for the branches of false and of true; the one that is not taken is dead."""
    data, condition = values
    for item in (data, condition):
        if isinstance(item, Dead):
            return [item]
    if isinstance(condition, Unknown):
        return [condition]
    return [Dead(), data] if _condition(condition) else [data, Dead()]


def _select(context: Context, node: Any, values: list[Value]) -> Value | None:
    """A choice between two whole tensors: of the other one nothing has to be known."""
    condition, first, second = values
    if isinstance(condition, Known) and condition.array.ndim == 0:
        return first if _condition(condition) else second
    return None


def _merge(context: Context, node: Any, values: list[Value]) -> list[Value]:
    alive = [(position, item) for position, item in enumerate(values) if not isinstance(item, Dead)]
    if not alive:
        return [Dead()]
    if len(alive) > 1:
        unknown = [item for _, item in alive if isinstance(item, Unknown)]
        if unknown:
            return [unknown[0]]
        raise RefusedError("joins two branches that are both taken")
    position, value = alive[0]
    if isinstance(value, Unknown):
        return [value]
    return [value, Known(np.asarray(position))]


def branch(node: Any, values: list[Value]) -> str | None:
    """The function that a branching operation calls; None when its condition is not known.

    Raises:
        RefusedError: If the condition depends on the example.
    """
    if isinstance(values[0], (Dead, Unknown)):
        return None
    number = _condition(values[0])
    if node.op in {"Case", "StatelessCase"}:
        branches = node.attr["branches"].list.func
        return str(branches[number if 0 <= number < len(branches) else len(branches) - 1].name)
    return str(node.attr["then_branch" if number else "else_branch"].func.name)


def _nothing(context: Context, node: Any, values: list[Value]) -> Value:
    return Known(np.zeros(0))


def _gather(context: Context, node: Any, values: list[Value]) -> Value:
    raise RefusedError("looks up rows by numbers that depend on the example")


BRANCHES = frozenset({"Case", "If", "StatelessCase", "StatelessIf"})
"""Operations that call one of several functions."""

FIRST: Mapping[str, Callable[[Context, Any, list[Value]], Value | list[Value] | None]] = {
    "IdentityN": _all_same,
    "Merge": _merge,
    "RefMerge": _merge,
    "RefSwitch": _switch,
    "Select": _select,
    "Switch": _switch,
}
"""Operations that may have a value though one of their inputs has none; None where the usual rules hold."""

RULES: Rules = {
    "CheckNumerics": _same,
    "EnsureShape": _same,
    "GuaranteeConst": _same,
    "Identity": _same,
    "NoOp": _nothing,
    "PlaceholderWithDefault": _same,
    "PreventGradient": _same,
    "ReadVariableOp": _same,
    "RefIdentity": _same,
    "ResourceGather": _gather,
    "Snapshot": _same,
    "StopGradient": _same,
}
"""Operations that change nothing."""
