"""What the steps of the engine `native` work on: some draws of a block of examples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from bprune.arrays import AnyArray, FloatArray
from bprune.engines.native.noise import DrawNoise

__all__ = ["Block", "Step"]


@dataclass
class Block:
    """Some draws of a block of examples, while they are made.

    Attributes:
        examples: Numbers of the examples in the run, `[example]`, uint32.
        draws: The noise of each draw.
        fixed: Tensors that are the same in every draw, `[example, ...]`.
        prepared: What steps computed of them, by the step's tensor.
        random: Tensors that differ, `[draw, example, ...]`, float32.
    """

    examples: AnyArray
    draws: Sequence[DrawNoise]
    fixed: Mapping[str, AnyArray]
    prepared: Mapping[str, tuple[FloatArray, ...]]
    random: dict[str, FloatArray]

    def rows(self, name: str) -> AnyArray:
        """A tensor with draws and examples in one axis, `[draw * example, ...]`."""
        if name in self.random:
            values = self.random[name]
            return values.reshape(-1, *values.shape[2:])
        values = self.fixed[name]
        return np.broadcast_to(values, (len(self.draws), *values.shape)).reshape(-1, *values.shape[1:])

    def of_draw(self, name: str, index: int) -> AnyArray:
        """A tensor in one of the draws, `[example, ...]`."""
        return self.random[name][index] if name in self.random else self.fixed[name]

    def put(self, name: str, rows: AnyArray) -> None:
        """Keep a tensor that came as `[draw * example, ...]`."""
        self.random[name] = rows.reshape(len(self.draws), len(self.examples), *rows.shape[1:])


class Step(Protocol):
    """A part of a program's random part.

    Attributes:
        describe: What it is, in a few words.
    """

    describe: str

    def run(self, block: Block) -> None:
        """Make the step's tensors from those that are there."""
        ...
