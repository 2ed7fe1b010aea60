"""The program while it is put together: operations, the shapes of their tensors, and free names."""

from __future__ import annotations

from dataclasses import replace
from typing import TypeAlias

import numpy as np

from bprune.arrays import AnyArray
from bprune.lowering.ops import Activation, Affine, Function, Op, Reshape, Select
from bprune.lowering.program import Program, weights_of, with_weights
from bprune.lowering.read.values import RefusedError
from bprune.lowering.shapes import Shape, output_shape
from bprune.lowering.weights import Stream

__all__ = ["Builder", "Number"]

Number: TypeAlias = "AnyArray | float | None"
"""A factor or summand."""


class Builder:
    """Collects operations.

    Args:
        source: The input tensor's name.
        shape: The shape of one example of it.
    """

    def __init__(self, source: str, shape: Shape) -> None:
        self.source = source
        self.ops: dict[str, Op] = {}
        self.shapes: dict[str, Shape] = {source: shape}

    def add(self, op: Op) -> str:
        """Add an operation; where its name is taken, it gets a number.

        Returns:
            The tensor's name.

        Raises:
            ShapeError: If it does not fit its inputs.
            RefusedError: If its result has no elements.
        """
        shape = output_shape(op, [self.shapes[name] for name in op.inputs])
        if not shape.size:
            raise RefusedError("makes a tensor without elements")
        name, number = op.name, 1
        while name in self.shapes:
            number += 1
            name = f"{op.name}_{number}"
        self.ops[name] = replace(op, name=name)
        self.shapes[name] = shape
        return name

    def reshape(self, name: str, tensor: str, shape: tuple[int, ...]) -> str:
        """A tensor in another shape; one Reshape behind another becomes one, and one without effect none."""
        if self.shapes[tensor] == tuple(shape):
            return tensor
        before = self.ops.get(tensor)
        while isinstance(before, Reshape):
            tensor = before.inputs[0]
            before = self.ops.get(tensor)
        if self.shapes[tensor] == tuple(shape):
            return tensor
        return self.add(Reshape(name, (tensor,), tuple(shape)))

    def activation(self, name: str, tensor: str, function: Function, alpha: float = 0.0) -> str:
        """A function of a tensor."""
        return self.add(Activation(name, (tensor,), function, alpha))

    def affine(self, name: str, tensor: str, gain: Number = None, shift: Number = None) -> str:
        """`gain * x + shift`; nothing is added to the program where that is x.

        Raises:
            RefusedError: If a number is not finite.
        """
        numbers = [None if item is None else _float32(item) for item in (gain, shift)]
        if all(item is None or np.all(item == neutral) for item, neutral in zip(numbers, (1.0, 0.0), strict=True)):
            return tensor
        return self.add(Affine(name, (tensor,), *numbers))

    def select(self, name: str, tensor: str, elements: AnyArray) -> str:
        """A tensor made of elements of another.

        Args:
            name: The new tensor's name.
            tensor: The other tensor.
            elements: Their flat positions in one example, of the new shape of one example.
        """
        shape = self.shapes[tensor]
        flat = elements.reshape(-1)
        if elements.size == shape.size and np.array_equal(flat, np.arange(shape.size)):
            return self.reshape(name, tensor, elements.shape)
        rows = elements.shape[:-1] == shape.spatial and elements.ndim > 0
        units = elements.reshape(-1, elements.shape[-1])[0] % max(shape.units, 1) if rows and elements.size else flat
        starts = np.arange(int(np.prod(shape.spatial, dtype=np.int64)))[:, None] * shape.units
        if rows and elements.size and np.array_equal(elements.reshape(-1, elements.shape[-1]), starts + units):
            return self.add(Select(name, (tensor,), units.astype(np.int32)))
        source = self.reshape(f"{name}/flat", tensor, (shape.size,))
        chosen = self.add(Select(f"{name}/select", (source,), flat.astype(np.int32)))
        return self.reshape(name, chosen, elements.shape)

    def finish(self, outputs: tuple[str, ...]) -> Program:
        """The program of what the outputs need.

        Raises:
            RefusedError: If weights that are sampled once are used in two places.
        """
        needed, waiting = set[str](), list(outputs)
        while waiting:
            name = waiting.pop()
            if name not in needed and name in self.ops:
                needed.add(name)
                waiting.extend(self.ops[name].inputs)
        ops = _numbered([op for name, op in self.ops.items() if name in needed])
        return Program(self.source, self.shapes[self.source], tuple(ops), outputs)


def _numbered(ops: list[Op]) -> list[Op]:
    """Calls of a posterior counted from 0 in the order of the operations."""
    calls: dict[str, list[int]] = {}
    users: dict[Stream, str] = {}
    result = []
    for op in ops:
        changed = {}
        for field, weights in weights_of(op).items():
            stream = weights.stream
            if stream is None:
                continue
            if stream in users:
                raise RefusedError(f"{op.name!r} and {users[stream]!r} use the same draw of {stream.posterior!r}")
            users[stream] = op.name
            known = calls.setdefault(stream.posterior, [])
            known.append(stream.call)
            changed[field] = replace(weights, stream=replace(stream, call=len(known) - 1))
        result.append(with_weights(op, changed) if changed else op)
    return result


def _float32(array: AnyArray | float) -> AnyArray:
    with np.errstate(all="ignore"):
        result = np.asarray(array).astype(np.float32)
    if not np.isfinite(result).all():
        raise RefusedError("computes with numbers that are not finite")
    return result
