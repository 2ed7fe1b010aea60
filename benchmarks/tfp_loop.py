"""The other side of the benchmark: Monte-Carlo inference as TFP does it, in one compiled loop."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from bprune.arrays import AnyArray

__all__ = ["TfpLoop"]


class TfpLoop:
    """The mean of the class probabilities over draws, all draws in one call of one `tf.function`.

    Args:
        model: A tf_keras model of TFP layers that gives logits `[example, class]`.
        inputs: `[example, ...]`; all of them are one batch.
    """

    def __init__(self, model: Any, inputs: AnyArray) -> None:
        self._model = model
        self._inputs = tf.constant(inputs)
        self._run = tf.function(self._mean_probabilities)

    def _mean_probabilities(self, inputs: Any, draws: Any) -> Any:
        total = tf.nn.softmax(self._model(inputs, training=False))
        for _ in tf.range(1, draws):
            total += tf.nn.softmax(self._model(inputs, training=False))
        return total / tf.cast(draws, tf.float32)

    def draw(self, draws: int) -> AnyArray:
        """Run draws and average them: `[example, class]`."""
        return np.asarray(self._run(self._inputs, tf.constant(draws)))
