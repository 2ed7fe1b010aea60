"""What a run does, as a record that people read and results files keep."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from bprune.engines.tensorflow.precision import Precision
from bprune.lowering.ops import Conv, Dense, DepthwiseConv
from bprune.lowering.program import Program

__all__ = ["Plan", "layer_lines"]

_Product = (Dense, Conv, DepthwiseConv)


@dataclass(frozen=True)
class Plan:
    """How draws are made.

    Attributes:
        engine: The engine's name.
        sampling: How weights are shared between the examples of a draw.
        precision: In which number format products are computed.
        reason: Why another engine was not taken; empty where none was preferred.
        lines: The plan in sentences.
        before: The numbers of `bprune.lowering.size.LayerSize` of the whole program. Empty where there is none.
        after: The same of the program that runs: pruned and compacted.
    """

    engine: str
    sampling: str
    precision: str
    reason: str = ""
    lines: tuple[str, ...] = ()
    before: Mapping[str, int] = field(default_factory=dict)
    after: Mapping[str, int] = field(default_factory=dict)

    def to_json(self) -> str:
        """The plan as one JSON object."""
        return json.dumps(asdict(self), ensure_ascii=False, sort_keys=True)


def layer_lines(before: Program, after: Program, wide: frozenset[str], precision: Precision) -> list[str]:
    """One line for each product of the program that runs.

    Args:
        before: The whole program.
        after: The program that runs.
        wide: The operations whose products are float32 whatever the precision is.
        precision: The precision.
    """
    old = {op.name: op for op in before.ops}
    lines = []
    for op in after.ops:
        if isinstance(op, _Product):
            kernel, origin = op.kernel, old.get(op.name)
            shape = _shape(kernel.shape)
            if isinstance(origin, _Product) and origin.kernel.shape != kernel.shape:
                shape = f"{_shape(origin.kernel.shape)} -> {shape}"
            number = Precision.FLOAT32 if op.name in wide else precision
            live = f"{kernel.nonzeros:,} of {kernel.loc.size:,} weights live"
            lines.append(f"{op.layer or op.name}: {type(op).__name__.lower()} {shape}, {live}, {number.value}")
    gone = [op.layer or op.name for op in before.ops if isinstance(op, _Product) and op.name not in after.by_name]
    return lines + [f"{name}: removed, it does nothing any more" for name in gone]


def _shape(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))
