"""Steps for operations without a kernel of the engine `native`: NumPy where it is simple, else TensorFlow."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from bprune.arrays import AnyArray
from bprune.engines.native.block import Block
from bprune.engines.native.weights import WeightDraw
from bprune.engines.tensorflow.emit import emit, fold_constant, narrowed
from bprune.lowering.ops import Activation, Affine, Concat, Function, Op, Pool, Pooling, Reshape
from bprune.lowering.program import Program, weights_of

__all__ = ["ArrayStep", "GraphStep", "PoolStep"]

_ROWS = 64


_ARRAY_FUNCTIONS: dict[Function, Callable[[AnyArray], AnyArray]] = {
    Function.RELU: lambda rows: np.maximum(rows, np.float32(0.0)),
    Function.SIN: np.sin,
    Function.COS: np.cos,
}
"""Sines and cosines of NumPy do not depend on where a number stands; those of TensorFlow, in the last bit, do."""


class ArrayStep:
    """An operation that NumPy does at once."""

    def __init__(self, op: Op) -> None:
        self._op = op
        self.describe = ""

    def run(self, block: Block) -> None:
        """See `Step.run`."""
        op, rows = self._op, block.rows(self._op.inputs[0])
        if isinstance(op, Concat):
            block.put(op.name, np.concatenate([block.rows(name) for name in op.inputs], axis=op.axis + 1))
        elif isinstance(op, Activation):
            block.put(op.name, _ARRAY_FUNCTIONS[op.function](rows))
        elif isinstance(op, Reshape):
            block.put(op.name, rows.reshape(-1, *op.shape))
        elif isinstance(op, Affine):
            product = rows if op.gain is None else rows * np.asarray(op.gain, np.float32)
            block.put(op.name, product if op.shift is None else product + np.asarray(op.shift, np.float32))

    @staticmethod
    def takes(op: Op) -> bool:
        """Whether an operation is one of these."""
        return isinstance(op, (Reshape, Affine, Concat)) or (
            isinstance(op, Activation) and op.function in _ARRAY_FUNCTIONS
        )


class GraphStep:
    """Operations in a row that TensorFlow runs, as one compiled function.

    Args:
        seed: The run's seed.
        ops: The operations, in order.
        wanted: Their tensors that are read later, or are outputs.
        narrow: The operations whose products are computed in bfloat16.
    """

    def __init__(
        self, seed: int, ops: Sequence[Op], wanted: Sequence[str], narrow: frozenset[str] = frozenset()
    ) -> None:
        import tensorflow as tf

        self._ops, self._wanted, self._narrow = tuple(ops), tuple(wanted), narrow
        made = {op.name for op in ops}
        self._read = tuple(dict.fromkeys(name for op in ops for name in op.inputs if name not in made))
        self._weights = {
            (op.name, field): WeightDraw(seed, weights) for op in ops for field, weights in weights_of(op).items()
        }
        self._run = tf.function(self._emit, autograph=False)
        self._traced: dict[tuple[tuple[int, ...], ...], Any] = {}
        layers = [getattr(op, "layer", "") or op.name for op in ops if weights_of(op)]
        self.has_layers = bool(layers)
        how = "products in bfloat16" if any(op.name in narrow for op in ops) else "products"
        self.describe = f"{', '.join(layers)}: drawn weights, TensorFlow's {how}" if layers else ""

    def _emit(self, inputs: Sequence[Any], weights: Sequence[Any]) -> list[Any]:
        tensors = dict(zip(self._read, inputs, strict=True))
        drawn: dict[str, dict[str, Any]] = {}
        for (name, field), value in zip(self._weights, weights, strict=True):
            drawn.setdefault(name, {})[field] = value
        for op in self._ops:
            own: Mapping[str, Any] = drawn.get(op.name, {})
            if op.name in self._narrow:
                own = narrowed(op, fold_constant(op, own))
            tensors[op.name] = emit(op, [tensors[name] for name in op.inputs], own)
        return [tensors[name] for name in self._wanted]

    def _call(self, inputs: Sequence[Any], weights: Sequence[Any]) -> Any:
        """Run the function; it is traced once for each shape. TensorFlow would warn of that, for all steps together."""
        key = tuple(tuple(item.shape) for item in inputs)
        if key not in self._traced:
            self._traced[key] = self._run.get_concrete_function(inputs, weights)
        return self._traced[key](inputs, weights)

    def run(self, block: Block) -> None:
        """See `Step.run`."""
        import tensorflow as tf

        if not self._weights:
            inputs = [block.rows(name) for name in self._read]
            count = len(inputs[0])
            results = self._call([tf.constant(_filled(rows)) for rows in inputs], [])
            for name, values in zip(self._wanted, results, strict=True):
                block.put(name, np.asarray(values, np.float32)[:count])
            return
        parts: list[list[AnyArray]] = []
        for index, noise in enumerate(block.draws):
            weights = [tf.constant(item.draw(noise)) for item in self._weights.values()]
            inputs = [tf.constant(block.of_draw(name, index)) for name in self._read]
            parts.append([np.asarray(item, np.float32) for item in self._call(inputs, weights)])
        for name, values in zip(self._wanted, zip(*parts, strict=True), strict=True):
            block.random[name] = np.stack(values)


def _filled(rows: AnyArray) -> AnyArray:
    """Rows and then zeros, so that TensorFlow has whole vector registers of everything.

    What is left over it computes one by one, with functions that round otherwise; which numbers these are would depend
    on how many draws are run together.
    """
    missing = -len(rows) % _ROWS
    return np.concatenate([rows, np.zeros((missing, *rows.shape[1:]), rows.dtype)]) if missing else rows


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
