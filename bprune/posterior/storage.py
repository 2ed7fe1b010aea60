"""Which variable, and which part of it, a tensor of the graph is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from bprune.arrays import AnyArray
from bprune.case.nodes import Nodes, node_of, tensor_name
from bprune.case.subgraph import VARIABLES, GraphVariable
from bprune.posterior.posterior import Stored
from bprune.posterior.transform import ScaleTransform

__all__ = ["affine_of_variable", "is_zeros", "scalar_operand", "stored_tensor"]

_SAME_VALUES = frozenset({"Cast", "EnsureShape", "Identity", "ReadVariableOp", "Reshape", "StopGradient"})
_SUMS = frozenset({"Add", "AddV2"})


@dataclass(frozen=True)
class _Part:
    """The flat element numbers of a variable that a tensor holds."""

    variable: str
    elements: AnyArray


def stored_tensor(nodes: Nodes, variables: dict[str, GraphVariable], reference: str) -> Stored | None:
    """Where a tensor's values are stored when it is a variable or a contiguous part of one; else None."""
    part = _part(nodes, variables, reference)
    if part is None or part.elements.size == 0:
        return None
    flat = part.elements.reshape(-1)
    first = int(flat[0])
    if not np.array_equal(flat, np.arange(first, first + flat.size)):
        return None
    return Stored(part.variable, first, first + int(flat.size))


def _part(nodes: Nodes, variables: dict[str, GraphVariable], reference: str) -> _Part | None:
    name, _, index = tensor_name(reference).partition(":")
    node = nodes[name]
    if node.op in VARIABLES:
        variable = variables.get(name)
        if variable is None or variable.shape is None:
            return None
        return _Part(name, np.arange(int(np.prod(variable.shape, dtype=np.int64))).reshape(variable.shape))
    if node.op in _SAME_VALUES:
        inner = _part(nodes, variables, node.input[0])
        return inner if inner is None or node.op != "Reshape" else _Part(inner.variable, inner.elements.reshape(-1))
    if node.op == "StridedSlice":
        return _sliced(nodes, variables, node)
    if node.op in {"Split", "SplitV"}:
        return _split(nodes, variables, node, int(index))
    return None


def _sliced(nodes: Nodes, variables: dict[str, GraphVariable], node: Any) -> _Part | None:
    inner = _part(nodes, variables, node.input[0])
    bounds = [nodes.constant(node_of(item)) for item in node.input[1:4]]
    if inner is None or any(bound is None for bound in bounds):
        return None
    begin, end, stride = (np.atleast_1d(bound) for bound in bounds if bound is not None)
    flags = {name: int(node.attr[name].i) for name in ("begin_mask", "end_mask", "ellipsis_mask")}
    if node.attr["new_axis_mask"].i or node.attr["shrink_axis_mask"].i or not begin.shape == end.shape == stride.shape:
        return None
    key: list[Any] = []
    for axis in range(begin.size):
        bit = 1 << axis
        if flags["ellipsis_mask"] & bit:
            key.append(Ellipsis)
        else:
            first = None if flags["begin_mask"] & bit else int(begin[axis])
            last = None if flags["end_mask"] & bit else int(end[axis])
            key.append(slice(first, last, int(stride[axis])))
    try:
        return _Part(inner.variable, inner.elements[tuple(key)])
    except (IndexError, ValueError):
        return None


def _split(nodes: Nodes, variables: dict[str, GraphVariable], node: Any, index: int) -> _Part | None:
    if node.op == "Split":
        axis, source, sizes = nodes.scalar(node_of(node.input[0])), node.input[1], None
    else:
        axis, source = nodes.scalar(node_of(node.input[2])), node.input[0]
        sizes = nodes.constant(node_of(node.input[1]))
        if sizes is None:
            return None
    inner = _part(nodes, variables, source)
    if inner is None or axis is None:
        return None
    try:
        cuts: Any = int(node.attr["num_split"].i) if sizes is None else np.cumsum(sizes)[:-1]
        return _Part(inner.variable, np.split(inner.elements, cuts, axis=int(axis))[index])
    except (IndexError, ValueError):
        return None


def affine_of_variable(
    nodes: Nodes, variables: dict[str, GraphVariable], reference: str
) -> tuple[Stored, ScaleTransform] | None:
    """Read a tensor as `gain * variable + shift`, with scalar constants; None when it is something else.

    Returns:
        Where the variable is stored, and the transform with floor 0.
    """
    gain, shift = 1.0, 0.0
    while True:
        stored = stored_tensor(nodes, variables, reference)
        if stored is not None:
            return stored, ScaleTransform(floor=0.0, gain=gain, shift=shift)
        node = nodes[node_of(reference)]
        operand = scalar_operand(nodes, node)
        if operand is None:
            return None
        value, reference = operand
        if node.op in _SUMS:
            shift += gain * value
        elif node.op == "Mul":
            gain *= value
        elif node.op == "Sub" and node_of(node.input[0]) == node_of(reference):
            shift -= gain * value
        else:
            return None


def scalar_operand(nodes: Nodes, node: Any) -> tuple[float, str] | None:
    """Of a two-operand node with one constant number: that number and the other operand; else None."""
    if node.op not in _SUMS | {"Mul", "Sub"}:
        return None
    for constant, other in ((1, 0), (0, 1)):
        value = nodes.scalar(node_of(node.input[constant]))
        if value is not None:
            return value, node.input[other]
    return None


def is_zeros(nodes: Nodes, reference: str) -> bool:
    """Whether a tensor is all zeros whatever the input."""
    node = nodes[node_of(reference)]
    if node.op == "ZerosLike":
        return True
    if node.op == "Fill":
        return nodes.scalar(node_of(node.input[1])) == 0.0
    if node.op in {"BroadcastTo", "Identity", "Reshape", "Cast"}:
        return is_zeros(nodes, node.input[0])
    value = nodes.constant(node.name)
    return value is not None and not np.any(value)
