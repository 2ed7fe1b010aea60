"""The weights of one draw, as TensorFlow operations, from posteriors that are kept outside of the graph."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from bprune.engines.tensorflow.noise import StreamNoise
from bprune.lowering.ops import Op
from bprune.lowering.program import Program, weights_of
from bprune.lowering.weights import Weights

__all__ = ["DrawnWeights", "ProgramWeights", "is_random"]

_DENSE_ABOVE = 0.5
"""Share of random elements from which noise is made for all elements; below, the random ones are scattered."""


def is_random(op: Op) -> bool:
    """Whether an operation has a weight that differs between draws; a scale of 0 everywhere is none."""
    return any(item.scale is not None and bool(np.any(item.scale)) for item in weights_of(op).values())


class DrawnWeights:
    """One weight tensor that is ready to be drawn. Its numbers are tensors outside of any graph.

    Args:
        weights: The weight tensor.
    """

    def __init__(self, weights: Weights) -> None:
        import tensorflow as tf

        self._shape = weights.shape
        self._is_log = weights.family == "LogNormal"
        self._noise: StreamNoise | None = None
        fixed = np.ascontiguousarray(weights.mean().loc, np.float32)
        if weights.scale is None or weights.ids is None or weights.stream is None or not np.any(weights.scale):
            self._fixed = tf.constant(fixed)
            return
        scale, loc = (np.asarray(item, np.float32).reshape(-1) for item in (weights.scale, weights.loc))
        ids = weights.ids.reshape(-1)
        self._is_dense = int(np.count_nonzero(scale)) > _DENSE_ABOVE * scale.size
        self._places: Any = None
        if not self._is_dense:
            chosen = np.flatnonzero(scale)
            chosen = chosen[np.argsort(ids[chosen])]
            self._fixed, self._places = tf.constant(fixed.reshape(-1)), tf.constant(chosen[:, None].astype(np.int32))
            ids, loc, scale = ids[chosen], loc[chosen], scale[chosen]
        elif not np.all(ids[1:] > ids[:-1]):
            order = np.argsort(ids)
            self._places = tf.constant(np.argsort(order).astype(np.int32))
            ids = ids[order]
        self._noise = StreamNoise(weights.family, weights.stream.size, ids)
        self._loc, self._scale = tf.constant(loc), tf.constant(scale)

    @property
    def is_random(self) -> bool:
        """Whether draws differ."""
        return self._noise is not None

    def emit(self, key: Any) -> Any:
        """The weights of one draw, float32, of the tensor's shape.

        Args:
            key: `[2]`, uint64: see `bprune.engines.tensorflow.noise.noise_keys`.
        """
        import tensorflow as tf

        if self._noise is None:
            return self._fixed
        noise = self._noise.emit(key)
        if self._is_dense and self._places is not None:
            noise = tf.gather(noise, self._places)
        values = self._loc + self._scale * noise
        values = tf.exp(values) if self._is_log else values
        if not self._is_dense:
            values = tf.tensor_scatter_nd_update(self._fixed, self._places, values)
        return tf.reshape(values, self._shape)


class ProgramWeights:
    """All weights of a program.

    Args:
        program: The program.
    """

    def __init__(self, program: Program) -> None:
        self._drawn: dict[str, dict[str, DrawnWeights]] = {}
        self._rows: dict[tuple[str, str], int] = {}
        self.streams: list[str] = []
        for op in program.ops:
            for field, weights in weights_of(op).items():
                item = DrawnWeights(weights)
                self._drawn.setdefault(op.name, {})[field] = item
                if item.is_random and weights.stream is not None:
                    self._rows[op.name, field] = len(self.streams)
                    self.streams.append(weights.stream.key)

    def emit(self, op: Op, keys: Any) -> Mapping[str, Any]:
        """The weights of an operation in one draw, by field.

        Args:
            op: The operation.
            keys: `[stream, 2]`, uint64, one row for each of `streams`; None where nothing of the operation is random.
        """
        result: dict[str, Any] = {}
        for field, item in self._drawn.get(op.name, {}).items():
            row = self._rows.get((op.name, field))
            result[field] = item.emit(None if row is None else keys[row])
        return result
