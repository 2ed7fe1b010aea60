"""Which units can only go together.

An elementwise operation gives a unit for every unit that it reads, so if one goes, the other goes. A sum needs the same
units on both sides. Such units are one group; a layer with a kernel starts new ones, because kernels are cut freely.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bprune.arrays import BoolArray, IntArray
from bprune.lowering.ops import Add, Concat, Conv, Dense, DepthwiseConv, Multiply, Op, Pad, Reshape, Select
from bprune.lowering.passes.dead_units.forward import keeps_units_apart
from bprune.lowering.program import Program
from bprune.lowering.shapes import Shape

__all__ = ["Groups", "group_units"]


@dataclass(frozen=True, eq=False)
class Groups:
    """The groups of a program.

    Attributes:
        of: The group of every unit, `[unit]`, by tensor.
        pinned: Whether a group must stay, `[group]`: the program's input and outputs, and where an operation mixes
            units in another way than a kernel does (softmax, most rearrangements).
    """

    of: dict[str, IntArray]
    pinned: BoolArray


def group_units(program: Program) -> Groups:
    """Group the units of all tensors."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    nodes = _Nodes()
    of = {program.input: nodes.new(program.input_shape.units, pinned=True)}
    for op in program.ops:
        of[op.name] = _units_of(op, [of[name] for name in op.inputs], program.shapes, nodes)
    nodes.pin(*(of[name] for name in program.outputs))
    first, second = (np.concatenate([np.zeros(0, np.int64), *side]) for side in (nodes.first, nodes.second))
    ties = coo_array((np.ones(first.size, np.int8), (first, second)), shape=(nodes.count, nodes.count))
    count, group = connected_components(ties, directed=False)
    pinned = np.zeros(count, np.bool_)
    pinned[group[np.concatenate(nodes.pinned)]] = True
    return Groups({name: group[units].astype(np.int64) for name, units in of.items()}, pinned)


class _Nodes:
    """Units before they are grouped: numbers, ties between them, and which must stay."""

    def __init__(self) -> None:
        self.count = 0
        self.first: list[IntArray] = []
        self.second: list[IntArray] = []
        self.pinned: list[IntArray] = []

    def new(self, number: int, *, pinned: bool = False) -> IntArray:
        """New units."""
        units = np.arange(self.count, self.count + number, dtype=np.int64)
        self.count += number
        if pinned:
            self.pin(units)
        return units

    def tie(self, first: IntArray, second: IntArray) -> None:
        """Units that go together, in pairs."""
        self.first.append(first)
        self.second.append(second)

    def pin(self, *units: IntArray) -> None:
        """Units that stay."""
        self.pinned.extend(units)


def _units_of(op: Op, inputs: Sequence[IntArray], shapes: Mapping[str, Shape], nodes: _Nodes) -> IntArray:
    """The units of a result; those of elementwise results are the units before."""
    before, shape, read = inputs[0], shapes[op.name], shapes[op.inputs[0]]
    if isinstance(op, (Dense, Conv, Select)):
        return nodes.new(shape.units)
    if isinstance(op, DepthwiseConv):
        return np.repeat(before, op.kernel.shape[3])
    if isinstance(op, (Add, Multiply)):
        return _of_two(inputs[0], inputs[1], nodes)
    if isinstance(op, Concat) and op.axis == len(shape) - 1:
        return np.concatenate(inputs)
    if isinstance(op, Concat):
        for other in inputs[1:]:
            nodes.tie(before, other)
        return before
    if isinstance(op, Pad) and shape:
        zeros = [nodes.new(number, pinned=True) for number in op.pads[-1]]
        return np.concatenate([zeros[0], before, zeros[1]])
    if isinstance(op, Reshape) and shape and read:
        return _of_reshape(before, shape.units, nodes)
    if keeps_units_apart(op, len(read)):
        return before
    nodes.pin(before)
    return nodes.new(shape.units, pinned=True)


def _of_two(first: IntArray, second: IntArray, nodes: _Nodes) -> IntArray:
    if first.size == second.size:
        nodes.tie(first, second)
        return first
    single, other = (first, second) if first.size == 1 else (second, first)
    nodes.pin(single)
    return other


def _of_reshape(before: IntArray, units: int, nodes: _Nodes) -> IntArray:
    """Row-major order keeps channels apart where one number of units divides the other: f is of the channel f mod c."""
    if units % before.size == 0:
        return np.tile(before, units // before.size)
    if before.size % units == 0:
        rows = before.reshape(-1, units)
        nodes.tie(np.tile(rows[0], len(rows) - 1), rows[1:].reshape(-1))
        return np.asarray(rows[0])
    nodes.pin(before)
    return nodes.new(units, pinned=True)
