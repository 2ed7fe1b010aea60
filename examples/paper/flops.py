"""Floating-point operations of a training step for one example, counted by TensorFlow's profiler."""

from __future__ import annotations

import contextlib
import io
from typing import Any

from examples.paper.networks import INPUT_SHAPES, BayesianLayers, DeterministicLayers, build

__all__ = ["training_flops"]


def training_flops(model: str, bayesian: bool, batch: int) -> int:
    """Operations of the forward and the backward pass, the divergence among them; the optimizer's are left out.

    `tf.compat.v1.profiler` counts a multiplication and an addition as two. Operations that it has no rule for (random
    numbers, activations) count as none. What is done once for a batch, such as the divergence, is shared out over it.

    Args:
        model: One of `examples.paper.networks.NETWORKS`.
        bayesian: Whether its layers have posteriors.
        batch: Examples of a step.
    """
    import tensorflow as tf

    layers: Any = BayesianLayers(1.0) if bayesian else DeterministicLayers()
    network = build(model, layers)

    def gradients(inputs: Any, labels: Any) -> Any:
        with tf.GradientTape() as tape:
            outputs = network(inputs, training=True)
            loss = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, outputs)
            total = tf.reduce_sum(loss) + tf.add_n(network.losses or [tf.constant(0.0)])
        return tape.gradient(total, network.trainable_variables)

    shapes = tf.TensorSpec([batch, *INPUT_SHAPES[model]]), tf.TensorSpec([batch], tf.int32)
    graph = tf.function(gradients).get_concrete_function(*shapes).graph
    options = tf.compat.v1.profiler.ProfileOptionBuilder.float_operation()
    options["output"] = "none"
    with contextlib.redirect_stdout(io.StringIO()):
        found = tf.compat.v1.profiler.profile(graph, options=options)
    return int(found.total_float_ops / batch + 0.5)
