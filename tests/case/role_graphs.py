"""Graphs to find roles in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from bprune.case import Case
from bprune.case.names import OpsNames
from bprune.case.nodes import Nodes
from bprune.engines.graph import GraphEngine
from bprune.posterior import read_network
from tests.case.cases import CLASSES, FEATURES, Made

PLAIN = OpsNames(())


def nodes_of(build: Callable[[], object]) -> Nodes:
    """The graph that a function builds; nothing is run."""
    import tensorflow as tf

    with tf.Graph().as_default() as graph:
        build()
        return Nodes(graph.as_graph_def().node)


def placeholder(name: str = "x", shape: list[int | None] | None = None, dtype: Any = None) -> Any:
    import tensorflow as tf

    return tf.compat.v1.placeholder(dtype or tf.float32, [None, FEATURES] if shape is None else shape, name=name)


def label_placeholder() -> Any:
    import tensorflow as tf

    return placeholder("y", [None], tf.int32)


def dense(tensor: Any, name: str = "den_1", units: int = CLASSES) -> Any:
    """A deterministic product with a constant: `<name>/logits`."""
    import tensorflow as tf

    weights = tf.ones([int(tensor.shape[-1]), units], name=f"{name}/weights")
    return tf.matmul(tensor, weights, name=f"{name}/logits")


def annotated(**roles: str | tuple[str, ...]) -> OpsNames:
    return OpsNames((), {role: (name,) if isinstance(name, str) else name for role, name in roles.items()}, True)


def check_draws(made: Made, case: Case) -> None:
    """The case runs, and as its scales are tiny every draw is what its own session gave."""
    network = read_network(case)
    draws = GraphEngine(case, network, network.masks, 0).draw(made.inputs, range(2)).values
    powers = np.exp(made.outputs - made.outputs.max(axis=-1, keepdims=True))
    for draw in draws:
        np.testing.assert_allclose(draw, powers / powers.sum(axis=-1, keepdims=True), atol=1e-5)


def two_heads() -> None:
    import tensorflow as tf

    images = placeholder()
    label = label_placeholder()
    for name in ("first", "second"):
        logits = dense(images, name)
        loss = tf.nn.sparse_softmax_cross_entropy_with_logits(label, logits, name=f"{name}/loss")
        tf.negative(loss, name=f"{name}/log_prob")
        tf.nn.softmax(logits, name=f"{name}/probabilities")


def of_sparse_cross_entropy(logits: Any) -> None:
    import tensorflow as tf

    tf.nn.sparse_softmax_cross_entropy_with_logits(label_placeholder(), logits)


def of_softmax(logits: Any) -> None:
    import tensorflow as tf

    tf.nn.softmax(logits)


def of_log_prob(logits: Any) -> None:
    """TFP multiplies the logits with ones in the shape of the labels."""
    import tensorflow_probability as tfp

    tfp.distributions.Categorical(logits=logits).log_prob(label_placeholder())
