"""The program without what is not needed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from bprune.arrays import AnyArray, BoolArray, Float64Array, IntArray
from bprune.lowering.ops import Add, Affine, Bias, Conv, Dense, DepthwiseConv, Multiply, Op, Select
from bprune.lowering.passes.dead_units.entries import Entries, fixed_values, is_random
from bprune.lowering.passes.dead_units.known import Known
from bprune.lowering.passes.dead_units.layers import apply_kernel, with_constant
from bprune.lowering.passes.dead_units.narrow import narrowed
from bprune.lowering.passes.dead_units.needed import reads
from bprune.lowering.passes.scaling import single
from bprune.lowering.program import Program, weights_of
from bprune.lowering.weights import Weights

__all__ = ["rebuilt"]

_WORTH_SELECTING = 0.75
"""A layer reads fewer units through a `Select` when at most this part of them is needed: the copy then costs less than
the multiplications that it saves."""


def rebuilt(
    program: Program,
    needed: Mapping[str, BoolArray],
    known: Mapping[str, Known],
    entries: Mapping[str, Entries],
) -> Program:
    """The program with the needed units alone.

    A layer that reads much less than what is there gets a `Select` before it; at once where its input is the same in
    every draw, because such tensors are computed once. A sum with a constant tensor, such as the residual branch that
    pruning has emptied, becomes an affine map, and a product too.

    Args:
        program: A legal program.
        needed: The units of every tensor that stay.
        known: Its constant units.
        entries: What is known of its kernels.

    Returns:
        The same object if nothing can go.
    """
    ops: list[Op] = []
    settled = {program.input}
    for op in program.ops:
        before = op.inputs[0]
        if settled.issuperset(op.inputs) and not any(item.is_sampled for item in weights_of(op).values()):
            settled.add(op.name)
        if isinstance(op, (Dense, Conv)):
            cut = _Cut(op, needed[before], needed[op.name], known[before], entries[op.name])
            ops += cut.ops(once=before in settled, names=needed)
        elif isinstance(op, (Add, Multiply)):
            ops.append(_of_two(op, program, needed, known))
        else:
            ops.append(_rest(op, needed[before], needed[op.name]))
    same = len(ops) == len(program.ops) and all(new is old for new, old in zip(ops, program.ops, strict=True))
    return program if same else replace(program, ops=tuple(ops))


def _of_two(op: Add | Multiply, program: Program, needed: Mapping[str, BoolArray], known: Mapping[str, Known]) -> Op:
    for name, other in (op.inputs, op.inputs[::-1]):
        units, item = needed[name], known[name]
        if program.shapes[other] != program.shapes[op.name] or not item.units[units].all():
            continue
        values = item.at(units)
        same = _uniform(values)
        rounded = single(values if same is None else same)
        if rounded is not None:
            return Affine(op.name, (other,), *((None, rounded) if isinstance(op, Add) else (rounded, None)))
    return op


def _rest(op: Op, read: BoolArray, made: BoolArray) -> Op:
    if isinstance(op, Bias) and not is_random(op.bias)[made].any():
        shift = single(fixed_values(op.bias)[made])
        return narrowed(op, read, made) if shift is None else Affine(op.name, op.inputs, None, shift)
    if not isinstance(op, DepthwiseConv) or made.all():
        return narrowed(op, read, made)
    bias = None if op.bias is None else op.bias.take(made)
    return replace(op, kernel=_picked(op.kernel, np.flatnonzero(read), -2), bias=bias)


@dataclass(frozen=True, eq=False)
class _Cut:
    """A layer that loses units on both sides.

    Attributes:
        op: The layer.
        there: The units of its input that stay, `[unit]`.
        made: Its units that stay, `[unit]`.
        before: The constant units of its input.
        entries: What is known of its kernel.
    """

    op: Dense | Conv
    there: BoolArray
    made: BoolArray
    before: Known
    entries: Entries

    def ops(self, *, once: bool, names: Mapping[str, object]) -> list[Op]:
        """The new layer, behind a `Select` if that is worth it; the same object if nothing changes."""
        wanted = self.there & reads(self.entries, self.made, self.before)
        if not wanted.any():
            wanted[np.argmax(self.there)] = True
        part = np.count_nonzero(wanted) / np.count_nonzero(self.there)
        if part < 1.0 and (once or part <= _WORTH_SELECTING):
            places = np.flatnonzero(wanted[self.there]).astype(np.int32)
            select = Select(_new_name(f"{self.op.name}/units", names), self.op.inputs, places)
            return [select, replace(self._layer(wanted), inputs=(select.name,))]
        return [self._layer(self.there)]

    def _layer(self, read: BoolArray) -> Dense | Conv:
        """The layer for the units that it reads; what else it is given are constants."""
        op, x = self.op, with_constant(self.op, self.before)
        given = x.nonzero & self.entries.live[:, self.made].any(axis=1)
        given[: read.size] &= ~read
        given, bias = self._into_bias(x, given)
        rows = np.concatenate([np.flatnonzero(read), np.flatnonzero(given)])
        if read.all() and self.made.all() and bias is op.bias and rows.size == op.kernel.shape[-2]:
            return op
        kernel = _picked(_picked(op.kernel, rows, -2), np.flatnonzero(self.made), -1)
        constant = x.at(given).astype(np.float32) if given.any() else None
        return replace(op, kernel=kernel, bias=bias, constant=constant)

    def _into_bias(self, x: Known, given: BoolArray) -> tuple[BoolArray, Weights | None]:
        """Move constants that meet fixed weights to the bias, where they add the same at every position.

        Returns:
            The constants that remain, and the bias of the units that stay.
        """
        bias = _certain(self.op.bias, self.made)
        fixed = given & ~self.entries.random[:, self.made].any(axis=1)
        if not fixed.any() or (bias is not None and bias.is_sampled):
            return given, bias
        rows, columns = np.flatnonzero(fixed), np.flatnonzero(self.made)
        kernel = fixed_values(self.op.kernel.take((..., rows[:, None], columns)))
        total = _uniform(apply_kernel(self.op, x.at(fixed), kernel))
        loc = None if total is None else single(total if bias is None else total + bias.loc)
        return (given, bias) if loc is None else (given & ~fixed, Weights(loc))


def _certain(bias: Weights | None, made: BoolArray) -> Weights | None:
    """The bias of some units; a fixed one if no draw differs, none if it was sampled and is 0."""
    if bias is None or (made.all() and not bias.is_sampled):
        return bias
    values = None if is_random(bias)[made].any() else single(fixed_values(bias)[made])
    if not bias.is_sampled or values is None:
        return bias if made.all() else bias.take(made)
    return Weights(values) if values.any() else None


def _uniform(values: Float64Array) -> Float64Array | None:
    """`[out]` of `[*position, out]` where all positions agree up to rounding; else None."""
    first = values.reshape(-1, values.shape[-1])[0]
    return first if np.allclose(values, first, rtol=1e-12, atol=0.0) else None


def _picked(weights: Weights, index: IntArray, axis: int) -> Weights:
    """Some rows or columns, in order of memory."""

    def pick(item: AnyArray) -> AnyArray:
        return np.take(item, index, axis=axis)

    scale, ids = (None if item is None else pick(item) for item in (weights.scale, weights.ids))
    return replace(weights, loc=pick(weights.loc), scale=scale, ids=ids)


def _new_name(wish: str, names: Mapping[str, object]) -> str:
    while wish in names:
        wish += "+"
    return wish
