"""Dense layers as steps of the engine `native`."""

from __future__ import annotations

import numpy as np

from bprune.engines.native.block import Block
from bprune.engines.native.layers import MomentsLayer, ProductLayer
from bprune.engines.native.sparse import LANES, SparseProduct, aligned
from bprune.engines.native.weights import ValueDraw, WeightDraw
from bprune.lowering.ops import Dense

__all__ = ["MomentsStep", "ProductStep", "SparseProductStep"]


class MomentsStep:
    """A dense layer from cached moments."""

    def __init__(self, seed: int, op: Dense, name: str, relu: bool) -> None:
        self.op, self.layer = op, MomentsLayer(seed, op)
        self._name, self._relu = name, relu
        self.describe = f"{op.layer or op.name}: normals with cached moments, fresh for each example"

    def run(self, block: Block) -> None:
        """See `Step.run`."""
        moments = block.moments[self.op.name]
        out = np.empty((len(block.draws), *moments.mean.shape), np.float32)
        for index, noise in enumerate(block.draws):
            self.layer.draw(moments, block.examples, noise, out[index], self._relu)
        block.random[self._name] = out


class ProductStep:
    """A dense layer by a product with weights that all examples of a draw share."""

    def __init__(self, seed: int, op: Dense, name: str, relu: bool) -> None:
        self._op, self._layer = op, ProductLayer(seed, op)
        self._name, self._relu = name, relu
        self.describe = f"{op.layer or op.name}: drawn weights, one product for each draw"

    def run(self, block: Block) -> None:
        """See `Step.run`."""
        source = self._op.inputs[0]
        shape = block.of_draw(source, 0).shape[:-1]
        out = np.empty((len(block.draws), *shape, self._op.kernel.shape[1]), np.float32)
        for index, noise in enumerate(block.draws):
            inputs = np.asarray(block.of_draw(source, index), np.float32)
            rows = inputs.reshape(-1, inputs.shape[-1])
            self._layer.draw(rows, noise, out[index].reshape(-1, out.shape[-1]), self._relu)
        block.random[self._name] = out


class SparseProductStep:
    """A dense layer by its live weights alone, for all examples of a draw."""

    def __init__(self, seed: int, op: Dense, name: str, relu: bool) -> None:
        self._op, self._name, self._relu = op, name, relu
        self._places = SparseProduct(op.kernel.live)
        self._values = ValueDraw(seed, op.kernel, self._places.order)
        self._bias = None if op.bias is None else WeightDraw(seed, op.bias)
        self._constant = np.zeros(0, np.float32) if op.constant is None else np.asarray(op.constant, np.float32)
        self.describe = f"{op.layer or op.name}: drawn live weights, sparse product"

    def run(self, block: Block) -> None:
        """See `Step.run`."""
        from bprune.engines.native.kernels_images import transpose

        source, examples = self._op.inputs[0], len(block.examples)
        rows = -(-examples // LANES) * LANES
        units = self._op.kernel.shape[0] - self._constant.size
        x, y = aligned((self._op.kernel.shape[0], rows)), aligned((self._op.kernel.shape[1], rows))
        x[units:] = self._constant[:, None]
        out = np.empty((len(block.draws), examples, y.shape[0]), np.float32)
        wide = np.empty((rows, y.shape[0]), np.float32)
        for index, noise in enumerate(block.draws):
            transpose(x[:units], np.require(block.of_draw(source, index), np.float32, ["C", "W"]))
            bias = None if self._bias is None else self._bias.draw(noise)
            self._places.run(y, x, self._values.draw(noise), bias, relu=self._relu)
            transpose(wide.reshape(rows, -1), y)
            out[index] = wide[:examples]
        block.random[self._name] = out
