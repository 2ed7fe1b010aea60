"""Convolutions and pooling as steps of the engine `native`."""

from __future__ import annotations

import numpy as np

from bprune.engines.native.block import Block
from bprune.engines.native.sparse import LANES, SparseConvolution, aligned
from bprune.engines.native.weights import ValueDraw, WeightDraw
from bprune.lowering.ops import Conv, Pool, Pooling
from bprune.lowering.program import Program

__all__ = ["PoolStep", "SparseConvStep"]


class SparseConvStep:
    """A two-dimensional convolution by its live weights alone, for 16 examples at a time.

    Args:
        seed: The run's seed.
        op: The operation.
        name: The tensor that the step makes.
        relu: Whether negative outputs become 0.
        program: The program.
    """

    def __init__(self, seed: int, op: Conv, name: str, relu: bool, program: Program) -> None:
        self._op, self._name, self._relu = op, name, relu
        (rows, columns), pads = program.shapes[op.inputs[0]].spatial, op.pads
        self._picture = (rows + sum(pads[0]), columns + sum(pads[1]))
        self._corner = (int(pads[0][0]), int(pads[1][0]))
        self._inside = (slice(pads[0][0], pads[0][0] + rows), slice(pads[1][0], pads[1][0] + columns))
        strides, dilations = (op.strides[0], op.strides[1]), (op.dilations[0], op.dilations[1])
        self._places = SparseConvolution(op.kernel.live, self._picture, strides, dilations)
        self._values = ValueDraw(seed, op.kernel, self._places.order)
        self._bias = None if op.bias is None else WeightDraw(seed, op.bias)
        self._shape = program.shapes[op.name]
        self.describe = f"{op.layer or op.name}: drawn live weights, sparse convolution"

    def run(self, block: Block) -> None:
        """See `Step.run`."""
        from bprune.engines.native.kernels_images import images_from_lanes, images_to_lanes

        channels = self._op.kernel.shape[2]
        x, y = aligned((channels, *self._picture, LANES)), aligned((self._shape[2], *self._places.size, LANES))
        given = channels
        if self._op.constant is not None:
            given -= self._op.constant.shape[-1]
            x[given:] = 0.0
            x[given:, self._inside[0], self._inside[1]] = np.moveaxis(self._op.constant, -1, 0)[..., None]
        out = np.empty((len(block.draws), len(block.examples), *self._shape), np.float32)
        for index, noise in enumerate(block.draws):
            values = self._values.draw(noise)
            bias = None if self._bias is None else self._bias.draw(noise)
            pictures = np.require(block.of_draw(self._op.inputs[0], index), np.float32, ["C", "W"])
            for start in range(0, len(pictures), LANES):
                images_to_lanes(x[:given], pictures[start : start + LANES], self._corner)
                self._places.run(y, x, values, bias, relu=self._relu)
                images_from_lanes(out[index, start : start + LANES], y, (0, 0))
        block.random[self._name] = out


class PoolStep:
    """Two-dimensional pooling.

    Args:
        op: The operation.
        program: The program.
    """

    def __init__(self, op: Pool, program: Program) -> None:
        self._op, self._shape = op, program.shapes[op.name]
        self.describe = ""

    def run(self, block: Block) -> None:
        """See `Step.run`."""
        from bprune.engines.native.kernels_images import pool_rows

        op = self._op
        rows = np.require(block.rows(op.inputs[0]), np.float32, ["C", "W"])
        out = np.empty((len(rows), *self._shape), np.float32)
        window, strides = (op.window[0], op.window[1]), (op.strides[0], op.strides[1])
        before = (op.pads[0][0], op.pads[1][0])
        pool_rows(out, rows, window, strides, before, op.pooling is Pooling.AVERAGE)
        block.put(op.name, out)
