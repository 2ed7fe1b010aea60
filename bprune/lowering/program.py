"""The program: a network as a short list of typed operations, from which any engine can run it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from bprune.errors import SelfCheckError
from bprune.lowering.ops import Bias, Conv, Dense, DepthwiseConv, Op
from bprune.lowering.shapes import Shape, ShapeError, output_shape
from bprune.lowering.weights import Weights

__all__ = ["Program", "check_program", "weights_of", "with_weights"]


@dataclass(frozen=True, eq=False)
class Program:
    """A network.

    Attributes:
        input: The input tensor's name.
        input_shape: The shape of one example.
        ops: The operations, each after what it reads.
        outputs: The output tensors: the output, then the predicted scale of a regression where there is one.
    """

    input: str
    input_shape: Shape
    ops: tuple[Op, ...]
    outputs: tuple[str, ...]

    @cached_property
    def by_name(self) -> dict[str, Op]:
        """The operation that makes each tensor; the input has none."""
        return {op.name: op for op in self.ops}

    @cached_property
    def shapes(self) -> dict[str, Shape]:
        """The shape of one example of every tensor.

        Raises:
            ShapeError: If an operation does not fit its inputs.
        """
        found = {self.input: self.input_shape}
        for op in self.ops:
            found[op.name] = output_shape(op, [found[name] for name in op.inputs])
        return found

    @cached_property
    def consumers(self) -> dict[str, tuple[Op, ...]]:
        """The operations that read each tensor, in order."""
        users: dict[str, list[Op]] = {name: [] for name in (self.input, *self.by_name)}
        for op in self.ops:
            for name in dict.fromkeys(op.inputs):
                users[name].append(op)
        return {name: tuple(items) for name, items in users.items()}

    def replaced(self, ops: Sequence[Op], renamed: Mapping[str, str] | None = None) -> Program:
        """Other operations; a tensor that is gone is read as another from now on.

        Args:
            ops: The new operations, in an order in which each can run.
            renamed: New name of tensors that no operation makes any more, by old name; chains are followed.
        """
        names = renamed or {}

        def new(name: str) -> str:
            while name in names:
                name = names[name]
            return name

        kept = [replace(op, inputs=tuple(map(new, op.inputs))) for op in ops]
        return replace(self, ops=tuple(kept), outputs=tuple(map(new, self.outputs)))


def weights_of(op: Op) -> dict[str, Weights]:
    """The weight tensors of an operation, by field: `kernel`, `bias`."""
    if isinstance(op, (Dense, Conv, DepthwiseConv)):
        return {"kernel": op.kernel} if op.bias is None else {"kernel": op.kernel, "bias": op.bias}
    return {"bias": op.bias} if isinstance(op, Bias) else {}


def with_weights(op: Op, weights: Mapping[str, Weights]) -> Op:
    """The operation with other weight tensors, by field."""
    changes: dict[str, Any] = dict(weights)
    return replace(op, **changes)


def check_program(program: Program) -> None:
    """Check that a program is legal; run before the first pass and after the last.

    A legal program makes every tensor once and before it is read, all its shapes fit, its numbers are finite, and a
    noise stream is sampled by one weight tensor alone, each original element at most once.

    Raises:
        SelfCheckError: If it is not: a defect of BPrune, never of the input.
    """
    import numpy as np

    made = {program.input}
    streams: dict[str, str] = {}
    for op in program.ops:
        if op.name in made:
            raise _illegal(f"{op.name!r} is made twice")
        missing = [name for name in op.inputs if name not in made]
        if missing:
            raise _illegal(f"{op.name!r} reads {missing[0]!r}, which is not made before")
        made.add(op.name)
        for field, weights in weights_of(op).items():
            where = f"{op.name!r} ({field})"
            if not np.isfinite(weights.loc).all() or (
                weights.scale is not None and not np.isfinite(weights.scale).all()
            ):
                raise _illegal(f"{where} has weights that are not finite")
            if weights.stream is None or weights.ids is None:
                continue
            if weights.stream.key in streams:
                raise _illegal(f"{where} samples the same noise as {streams[weights.stream.key]}")
            streams[weights.stream.key] = where
            flat = weights.ids.reshape(-1)
            if flat.size and not 0 <= flat.min() <= flat.max() < weights.stream.size:
                raise _illegal(f"{where} has ids outside of its stream")
            if np.max(np.bincount(flat), initial=0) > 1:
                raise _illegal(f"{where} samples an element twice")
    lost = [name for name in program.outputs if name not in made]
    if lost or not program.outputs:
        raise _illegal(f"the output {lost[0] if lost else ''!r} is not made")
    try:
        _ = program.shapes
    except ShapeError as error:
        raise _illegal(str(error)) from error


def _illegal(reason: str) -> SelfCheckError:
    return SelfCheckError(
        f"the lowered program is not legal: {reason}", hint="Run with --engine graph, and report this."
    )
