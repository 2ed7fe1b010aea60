"""Steps for operations without a kernel of the engine `native`: NumPy where it is simple, else TensorFlow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from bprune.arrays import AnyArray
from bprune.engines.native.block import Block
from bprune.engines.native.weights import WeightDraw
from bprune.engines.tensorflow.emit import emit
from bprune.lowering.ops import Activation, Affine, Function, Op, Reshape
from bprune.lowering.program import weights_of

__all__ = ["ArrayStep", "GraphStep"]


class ArrayStep:
    """An operation that NumPy does at once."""

    def __init__(self, op: Op) -> None:
        self._op = op
        self.describe = ""

    def run(self, block: Block) -> None:
        """See `Step.run`."""
        op, rows = self._op, block.rows(self._op.inputs[0])
        if isinstance(op, Reshape):
            block.put(op.name, rows.reshape(-1, *op.shape))
        elif isinstance(op, Affine):
            product = rows if op.gain is None else rows * np.asarray(op.gain, np.float32)
            block.put(op.name, product if op.shift is None else product + np.asarray(op.shift, np.float32))
        else:
            block.put(op.name, np.maximum(rows, np.float32(0.0)))

    @staticmethod
    def takes(op: Op) -> bool:
        """Whether an operation is one of these."""
        return isinstance(op, (Reshape, Affine)) or (isinstance(op, Activation) and op.function is Function.RELU)


class GraphStep:
    """Operations in a row that TensorFlow runs, as one compiled function.

    Args:
        seed: The run's seed.
        ops: The operations, in order.
        wanted: Their tensors that are read later, or are outputs.
    """

    def __init__(self, seed: int, ops: Sequence[Op], wanted: Sequence[str]) -> None:
        import tensorflow as tf

        self._ops, self._wanted = tuple(ops), tuple(wanted)
        made = {op.name for op in ops}
        self._read = tuple(dict.fromkeys(name for op in ops for name in op.inputs if name not in made))
        self._weights = {
            (op.name, field): WeightDraw(seed, weights) for op in ops for field, weights in weights_of(op).items()
        }
        self._run = tf.function(self._emit, autograph=False)
        layers = [getattr(op, "layer", "") or op.name for op in ops if weights_of(op)]
        self.has_layers = bool(layers)
        self.describe = f"{', '.join(layers)}: drawn weights, TensorFlow's products" if layers else ""

    def _emit(self, inputs: Sequence[Any], weights: Sequence[Any]) -> list[Any]:
        tensors = dict(zip(self._read, inputs, strict=True))
        drawn: dict[str, dict[str, Any]] = {}
        for (name, field), value in zip(self._weights, weights, strict=True):
            drawn.setdefault(name, {})[field] = value
        for op in self._ops:
            tensors[op.name] = emit(op, [tensors[name] for name in op.inputs], drawn.get(op.name, {}))
        return [tensors[name] for name in self._wanted]

    def run(self, block: Block) -> None:
        """See `Step.run`."""
        import tensorflow as tf

        if not self._weights:
            results = self._run([tf.constant(block.rows(name)) for name in self._read], [])
            for name, values in zip(self._wanted, results, strict=True):
                block.put(name, np.asarray(values, np.float32))
            return
        parts: list[list[AnyArray]] = []
        for index, noise in enumerate(block.draws):
            weights = [tf.constant(item.draw(noise)) for item in self._weights.values()]
            inputs = [tf.constant(block.of_draw(name, index)) for name in self._read]
            parts.append([np.asarray(item, np.float32) for item in self._run(inputs, weights)])
        for name, values in zip(self._wanted, zip(*parts, strict=True), strict=True):
            block.random[name] = np.stack(values)
