"""What the rules of the reader share: the program so far, the posteriors, and how tensors are laid out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bprune.arrays import AnyArray
from bprune.lowering.ops import Add, Function, Multiply
from bprune.lowering.read.arrange import check_count
from bprune.lowering.read.builder import Builder, Number
from bprune.lowering.read.groups import Group
from bprune.lowering.read.sizes import Size, SizeLike, ViewShape, broadcast, product, quotient
from bprune.lowering.read.values import (
    Coin,
    Draw,
    Filled,
    Known,
    Law,
    Noise,
    Perturbed,
    RefusedError,
    Scale,
    Signed,
    Spread,
    Tensor,
    Value,
    Variance,
)
from bprune.lowering.weights import Weights

__all__ = ["Context", "Layout", "Rule", "Rules", "settled", "shape_of"]


@dataclass(frozen=True)
class Layout:
    """How a tensor's shape in the graph holds the examples: `[1, .., 1, examples * merged, *rest]`.

    Attributes:
        lead: How many axes of length 1 come first.
        merged: How many rows of the example axis belong to one example.
        rest: The sizes behind it.
    """

    lead: int
    merged: int
    rest: tuple[int, ...]


@dataclass
class Context:
    """The state of the reader.

    Attributes:
        builder: The program so far.
        examples: The number of examples: a symbol, or the number that the graph was built for.
        groups: The posteriors by the name of the node that holds their scale.
        owners: The layer of each variable.
        calls: For each operation that draws weights, its number and what it draws for.
        allowance: How many numbers constant arithmetic may make, for weights of many elements.
        operations: How many operations called functions may have.
    """

    builder: Builder
    examples: SizeLike
    groups: Mapping[str, Group]
    owners: Mapping[str, str]
    calls: dict[str, tuple[int, object]] = field(default_factory=dict)
    allowance: int = 1 << 28
    operations: int = 1 << 20

    def spend(self, *, elements: int = 0, operations: int = 0) -> None:
        """Count work: a small file may ask for any amount of it.

        Raises:
            RefusedError: If it is more than any network needs.
        """
        self.allowance -= elements
        self.operations -= operations
        if min(self.allowance, self.operations) < 0:
            raise RefusedError("is part of constant arithmetic or of functions that are too large")

    def layout(self, shape: ViewShape) -> Layout:
        """Read a tensor's shape.

        Raises:
            RefusedError: If it does not hold one example after the other.
        """
        lead = 0
        while lead < len(shape) - 1 and shape[lead] == 1 and shape[lead] != self.examples:
            lead += 1
        rest = tuple(size for size in shape[lead + 1 :] if not isinstance(size, Size))
        if not shape or len(rest) != len(shape) - lead - 1:
            raise RefusedError("moves the examples away from the first axis")
        try:
            merged = int(quotient(shape[lead], self.examples))
        except ValueError:
            raise RefusedError("moves the examples away from the first axis") from None
        return Layout(lead, merged, rest)

    def view(self, name: str, tensor: Tensor, shape: ViewShape) -> Tensor:
        """The same elements in another shape; the program gets a Reshape where it needs one.

        Raises:
            RefusedError: If the new shape does not hold one example after the other, or not the same elements.
        """
        layout = self.layout(shape)
        if product(shape) != product(tensor.shape):
            raise RefusedError("changes the number of elements")
        per_example = layout.rest if layout.merged == 1 else (layout.merged, *layout.rest)
        current = self.builder.shapes[tensor.name]
        if layout.merged > 1 and layout.rest and current[len(current) - len(layout.rest) :] == layout.rest:
            return Tensor(tensor.name, shape)
        return Tensor(self.builder.reshape(name, tensor.name, per_example), shape)

    def per_example(self, tensor: Tensor) -> tuple[int, ...]:
        """The shape of one example of a tensor whose first axis is that of the examples.

        Raises:
            RefusedError: If it is not.
        """
        layout = self.layout(tensor.shape)
        if layout.lead or layout.merged != 1:
            raise RefusedError("works on a tensor whose first axis is not that of the examples")
        return layout.rest

    def stretched(self, name: str, tensor: Tensor, shape: ViewShape) -> Tensor:
        """A tensor with axes of length 1 repeated.

        Raises:
            RefusedError: If examples would be repeated.
        """
        if shape == tensor.shape:
            return tensor
        layout = self.layout(shape)
        per_example = self.per_example(tensor)
        if layout.lead or layout.merged != 1 or len(layout.rest) != len(per_example):
            raise RefusedError("stretches a tensor along the axis of the examples")
        check_count(layout.rest)
        numbers = np.arange(int(np.prod(per_example, dtype=np.int64))).reshape(per_example)
        return Tensor(self.builder.select(name, tensor.name, np.broadcast_to(numbers, layout.rest)), shape)

    def aligned(self, name: str, tensor: Tensor, value: Known | Filled) -> tuple[Tensor, AnyArray]:
        """The operands of elementwise arithmetic with known numbers: the tensor, and the numbers for one example.

        Raises:
            RefusedError: If the numbers differ between examples.
        """
        tensor = self.stretched(f"{name}/stretched", tensor, broadcast(value.shape, tensor.shape))
        array, layout = value.array, self.layout(tensor.shape)
        if array.dtype == object:
            raise RefusedError("computes with the number of examples")
        surplus = array.ndim - len(layout.rest)
        if surplus > 0:
            rows = array.reshape(-1, *array.shape[surplus:])
            if not len(rows) or not np.array_equal(rows, np.broadcast_to(rows[:1], rows.shape)):
                raise RefusedError("computes with numbers that differ between examples")
            array = rows[0]
        return tensor, array

    def fixed(self, name: str, value: Known | Filled, other: Tensor) -> Tensor:
        """A tensor of the program that is the same for every example, such as a column of ones.

        Args:
            name: Its name.
            value: What it holds.
            other: Any tensor: a program has no constants, so that its numbers are multiplied with 0.
        """
        rest = self.per_example(Tensor(other.name, value.shape))
        check_count(rest)
        zeros = self.builder.select(f"{name}/any", other.name, np.zeros(rest, np.int64))
        tensor, numbers = self.aligned(name, Tensor(zeros, value.shape), value)
        return self.affine(f"{name}/constant", tensor, gain=0.0, shift=np.broadcast_to(numbers, rest))

    def apply(self, name: str, tensor: Tensor, function: Function, alpha: float = 0.0) -> Tensor:
        """A function of a tensor."""
        if not function.is_elementwise and not self.layout(tensor.shape).rest:
            raise RefusedError("works along the axis of the examples")
        return Tensor(self.builder.activation(name, tensor.name, function, alpha), tensor.shape)

    def affine(self, name: str, tensor: Tensor, gain: Number = None, shift: Number = None) -> Tensor:
        """`gain * x + shift`."""
        return Tensor(self.builder.affine(name, tensor.name, gain, shift), tensor.shape)

    def combine(self, name: str, first: Tensor, second: Tensor, kind: type[Add] | type[Multiply]) -> Tensor:
        """The sum or product of two tensors.

        Raises:
            RefusedError: If their examples do not meet.
        """
        shape = broadcast(first.shape, second.shape)
        layouts = [self.layout(item.shape) for item in (first, second)]
        if len(layouts[0].rest) != len(layouts[1].rest) or layouts[0].merged != layouts[1].merged:
            raise RefusedError("combines the examples of one tensor with something else of the other")
        names = [first.name, second.name]
        if layouts[0].merged > 1 and self.builder.shapes[first.name] != self.builder.shapes[second.name]:
            names = [
                self.builder.reshape(f"{name}/rows", item, (layout.merged, *layout.rest))
                for item, layout in zip(names, layouts, strict=True)
            ]
        return Tensor(self.builder.add(kind(name, tuple(names))), shape)

    def call_of(self, source: str, owner: object) -> int:
        """The number of an operation that draws noise for weights.

        Args:
            source: The operation.
            owner: Whose noise it is.

        Raises:
            RefusedError: If it draws for something else already.
        """
        number, known = self.calls.setdefault(source, (len(self.calls), owner))
        if known != owner:
            raise RefusedError("shares its noise with other weights")
        return number

    def weights(self, value: Draw | Spread) -> tuple[Weights, str]:
        """The weight tensor of sampled weights, with their location, and the layer's name.

        Raises:
            RefusedError: If the law is not that of the posterior's family.
        """
        exponentiated = isinstance(value, Draw) and value.exponentiated
        law = Law.LAPLACE if value.group.family == "Laplace" else Law.NORMAL
        if value.law is not law or exponentiated != (value.group.family == "LogNormal"):
            raise RefusedError(f"samples weights that are not of the family {value.group.family}")
        return value.group.weights(value.ids, self.call_of(value.source, value.group))


Rule = Callable[[Context, Any, "list[Value]"], "Value | list[Value]"]
"""What an operation makes of the values of its operands; it raises `RefusedError` where no program can have it."""

Rules = Mapping[str, Rule]

_SHAPED = (Coin, Draw, Filled, Known, Noise, Perturbed, Scale, Signed, Spread, Tensor, Variance)


def shape_of(value: Value) -> ViewShape:
    """The shape of a value.

    Raises:
        RefusedError: If it is not known.
    """
    if isinstance(value, _SHAPED):
        return value.shape
    raise RefusedError("needs a shape that is not known")


def settled(value: Value) -> Value:
    """A layer whose location is 0 everywhere is its noise alone: a tensor of the program."""
    return value.tensor if isinstance(value, Perturbed) and value.is_whole else value
