"""How large a program is, and how much smaller than another."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace

from bprune.arrays import AnyArray
from bprune.lowering.ops import Bias, Conv, Dense, DepthwiseConv
from bprune.lowering.program import Program, weights_of

__all__ = ["LayerSize", "ProgramSize", "SizeChange", "SizeComparison", "compare_sizes", "measure"]

_FLOAT_BYTES = 4


@dataclass(frozen=True)
class LayerSize:
    """The size of a layer; a layer that is called twice counts twice.

    Attributes:
        layer: The layer's name; of a total, empty.
        units_in: Units that it reads, constant ones left out.
        units_out: Units that it gives.
        weights: Elements of its kernels and biases that are stored.
        live_weights: Those that are not exactly 0 in every draw.
        sampled_weights: Those that are sampled in every draw and not exactly 0.
        multiply_adds: Multiplications by weights, for one example in one draw.
        parameter_bytes: Bytes of its locations, scales and constant units, in float32.
    """

    layer: str
    units_in: int = 0
    units_out: int = 0
    weights: int = 0
    live_weights: int = 0
    sampled_weights: int = 0
    multiply_adds: int = 0
    parameter_bytes: int = 0


@dataclass(frozen=True)
class ProgramSize:
    """The size of a program.

    Attributes:
        layers: Its layers, in order.
        total: Their sum.
    """

    layers: tuple[LayerSize, ...]
    total: LayerSize


@dataclass(frozen=True)
class SizeChange:
    """A layer in two programs.

    Attributes:
        layer: The layer's name; of a total, empty.
        before: Its size in the first; all 0 where it is new.
        after: Its size in the second; all 0 where it is gone.
        operations: The kinds of its operations with weights, such as `Conv`, in order.
    """

    layer: str
    before: LayerSize
    after: LayerSize
    operations: tuple[str, ...] = ()


@dataclass(frozen=True)
class SizeComparison:
    """The layers of two programs side by side.

    Attributes:
        rows: One for every layer of either, in the order of the first.
        total: The programs as a whole.
    """

    rows: tuple[SizeChange, ...]
    total: SizeChange


def measure(program: Program) -> ProgramSize:
    """The size of a program and of its layers: of all that has weights."""
    layers: dict[str, LayerSize] = {}
    for op in program.ops:
        if isinstance(op, (Dense, Conv, DepthwiseConv, Bias)):
            item = _size(op, program)
            known = layers.get(item.layer)
            if known is not None and isinstance(op, Bias):  # a part of a layer, not another one
                item = replace(item, units_in=0, units_out=0)
            layers[item.layer] = item if known is None else _sum([known, item], item.layer)
    return ProgramSize(tuple(layers.values()), _sum(layers.values()))


def compare_sizes(before: Program, after: Program) -> SizeComparison:
    """Two programs, layer by layer.

    Args:
        before: The first, for example the whole network.
        after: The second, for example the pruned one.
    """
    first, second = measure(before), measure(after)
    old, new = ({item.layer: item for item in size.layers} for size in (first, second))
    kinds = {**_operations(after), **_operations(before)}
    rows = [
        SizeChange(name, old.get(name, LayerSize(name)), new.get(name, LayerSize(name)), kinds[name])
        for name in {**old, **new}
    ]
    return SizeComparison(tuple(rows), SizeChange("", first.total, second.total))


def _operations(program: Program) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for op in program.ops:
        if isinstance(op, (Dense, Conv, DepthwiseConv, Bias)):
            layer = op.layer or op.name
            found[layer] = (*found.get(layer, ()), type(op).__name__)
    return found


def _size(op: Dense | Conv | DepthwiseConv | Bias, program: Program) -> LayerSize:
    weights = list(weights_of(op).values())
    numbers = sum(item.loc.size * (2 if item.is_sampled else 1) for item in weights)
    constant: AnyArray | None = getattr(op, "constant", None)
    units = program.shapes[op.inputs[0]].units, program.shapes[op.name].units
    return LayerSize(
        layer=op.layer or op.name,
        units_in=units[0],
        units_out=units[1],
        weights=sum(item.loc.size for item in weights),
        live_weights=sum(item.nonzeros for item in weights),
        sampled_weights=sum(item.nonzeros for item in weights if item.is_sampled),
        multiply_adds=0 if isinstance(op, Bias) else math.prod(program.shapes[op.name].spatial) * op.kernel.loc.size,
        parameter_bytes=_FLOAT_BYTES * (numbers + (0 if constant is None else constant.size)),
    )


def _sum(sizes: Iterable[LayerSize], layer: str = "") -> LayerSize:
    items = list(sizes)
    numbers = [field.name for field in fields(LayerSize) if field.name != "layer"]
    return LayerSize(layer, **{name: sum(getattr(item, name) for item in items) for name in numbers})
