"""Tiny networks and data that a job of two workers and one process alone train alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp
import tf_keras

EXAMPLES = 32
FEATURES = 6
CLASSES = 3


def data(examples: int = EXAMPLES) -> tuple[Any, Any]:
    """Inputs `[example, feature]` and labels `[example]`."""
    generator = np.random.default_rng(1)
    return generator.normal(size=(examples, FEATURES)).astype(np.float32), generator.integers(0, CLASSES, examples)


def batches(size: int, examples: int = EXAMPLES) -> Callable[[int, int], Any]:
    """Makes the batches of one shard; the shards' batches together are those of one process with a larger batch."""
    x, y = data(examples)
    return lambda index, count: tf.data.Dataset.from_tensor_slices((x, y)).shard(count, index).batch(size)


def loss() -> Any:
    return tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def no_loss(labels: Any, outputs: Any) -> Any:
    """A loss of the data which has no gradient."""
    return 0.0 * tf.reduce_sum(outputs, axis=-1)


def bayesian(examples: int) -> Any:
    """Two Flipout layers which share their KL divergence out over the examples."""

    def divergence(q: Any, p: Any, _: Any) -> Any:
        return tfp.distributions.kl_divergence(q, p) / examples

    options = {"kernel_divergence_fn": divergence, "bias_divergence_fn": None}
    layers = [tfp.layers.DenseFlipout(4, **options), tfp.layers.DenseFlipout(CLASSES, **options)]
    return tf_keras.Sequential([tf_keras.Input((FEATURES,)), *layers])


def plain() -> Any:
    """A network without noise."""
    layers = [tf_keras.layers.Dense(8, activation="tanh"), tf_keras.layers.Dense(CLASSES)]
    return tf_keras.Sequential([tf_keras.Input((FEATURES,)), *layers])


def normalised() -> Any:
    """Flipout layers around a batch normalisation."""
    layers = [
        tfp.layers.DenseFlipout(5, name="den"),
        tf_keras.layers.BatchNormalization(name="norm"),
        tfp.layers.DenseFlipout(CLASSES, name="logits"),
    ]
    return tf_keras.Sequential([tf_keras.Input((FEATURES,)), *layers])


def embedded() -> Any:
    """A network whose first gradient is sparse."""
    layers = [tf_keras.layers.Embedding(7, 2), tf_keras.layers.Flatten(), tf_keras.layers.Dense(CLASSES)]
    return tf_keras.Sequential([tf_keras.Input((FEATURES,)), *layers])


def set_values(model: Any, start: float) -> None:
    """Give all weights values that depend on their place alone, and on `start`."""
    for number, variable in enumerate(model.trainable_variables):
        size = int(np.prod(variable.shape))
        values = np.cos(start + number + np.arange(size, dtype=np.float64))
        variable.assign(values.reshape(variable.shape).astype(np.float32))


def sums(model: Any) -> list[float]:
    """One number for each variable that changes with any of its values."""
    values = [variable.numpy().astype(np.float64).ravel() for variable in model.trainable_variables]
    return [float(value @ (1.0 + 0.1 * np.arange(len(value)))) for value in values]
