"""The output of a graph: logits behind losses and activations, and what a user names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bprune.case import Task, load_case
from bprune.case.output import Output
from bprune.case.roles import find_roles
from bprune.engines.graph import GraphEngine
from bprune.errors import AmbiguousCaseError
from bprune.posterior import read_network
from tests.case.cases import CLASSES, FEATURES, THIRD_PARTY, bayesian_dense, graph_case
from tests.case.role_graphs import (
    PLAIN,
    check_draws,
    dense,
    label_placeholder,
    nodes_of,
    of_log_prob,
    of_softmax,
    of_sparse_cross_entropy,
    placeholder,
    two_heads,
)

pytestmark = [pytest.mark.filterwarnings(line) for line in THIRD_PARTY]


# Logits in the graph


def of_cross_entropy(logits: Any) -> None:
    import tensorflow as tf

    tf.nn.softmax_cross_entropy_with_logits(placeholder("y", [None, CLASSES]), logits)


def of_log_softmax(logits: Any) -> None:
    import tensorflow as tf

    tf.nn.log_softmax(logits)


def of_argmax(logits: Any) -> None:
    import tensorflow as tf

    tf.argmax(logits, axis=1)


def of_identities(logits: Any) -> None:
    import tensorflow as tf

    same = tf.stop_gradient(tf.identity(tf.identity_n([tf.constant(1.0), logits])[1]))
    tf.nn.softmax(tf.ensure_shape(same, [None, CLASSES]))


def of_log_prob_from_the_left(logits: Any) -> None:
    import tensorflow as tf

    of_sparse_cross_entropy(tf.ones_like(logits) * logits)


def of_a_gradient(logits: Any) -> None:
    """A gradient holds a softmax of its own."""
    import tensorflow as tf

    loss = tf.nn.sparse_softmax_cross_entropy_with_logits(label_placeholder(), logits)
    tf.gradients(loss, logits.op.inputs[0])


@pytest.mark.parametrize(
    "use",
    [
        of_cross_entropy, of_sparse_cross_entropy, of_softmax, of_log_softmax, of_argmax, of_identities, of_log_prob,
        of_log_prob_from_the_left, of_a_gradient,
    ],
)  # fmt: skip
def test_logits_in_the_graph(use: Callable[[Any], None]) -> None:
    roles = find_roles(nodes_of(lambda: use(dense(placeholder()))), PLAIN)
    assert (roles.input, roles.output, roles.kind) == ("x:0", "den_1/logits:0", Output.LOGITS)
    assert "found in the graph" in roles.found[1]


@pytest.mark.parametrize("width", [CLASSES, None], ids=["classes", "unknown width"])
def test_what_a_cross_entropy_reshapes(width: int | None) -> None:
    """A matrix stays as it is; images of classes do not."""
    import tensorflow as tf

    def build(shape: list[int | None]) -> None:
        of_cross_entropy(tf.negative(placeholder(shape=shape), name="logits"))

    assert find_roles(nodes_of(lambda: build([None, width])), PLAIN).output == "logits:0"
    pixels = find_roles(nodes_of(lambda: build([None, 8, width])), PLAIN)
    assert pixels.output == "softmax_cross_entropy_with_logits/Reshape:0"


@pytest.mark.parametrize("use", [of_cross_entropy, of_log_prob], ids=["reshaped", "multiplied"])
def test_logits_that_are_named_need_no_task(use: Callable[[Any], None]) -> None:
    nodes = nodes_of(lambda: use(dense(placeholder())))
    assert find_roles(nodes, PLAIN, output_op="den_1/logits").kind is Output.LOGITS


def test_a_product_with_other_numbers_is_not_peeled() -> None:
    import tensorflow as tf

    def build() -> None:
        of_softmax(tf.multiply(dense(placeholder()), tf.fill([CLASSES], 2.0), name="tempered"))

    assert find_roles(nodes_of(build), PLAIN).output == "tempered:0"


def test_the_peeled_product_is_there() -> None:
    """Else the test of log_prob above shows nothing."""
    nodes = nodes_of(lambda: of_log_prob(dense(placeholder())))
    loss = next(node for node in nodes if node.op == "SparseSoftmaxCrossEntropyWithLogits")
    assert nodes[nodes.inputs(loss.name)[0]].op == "Mul"


def test_a_cross_entropy_weighs_more_than_a_softmax() -> None:
    """An attention layer has a softmax too."""

    def build() -> None:
        import tensorflow as tf

        images = placeholder()
        attended = tf.nn.softmax(dense(images, "attention", FEATURES)) * images
        of_sparse_cross_entropy(dense(attended))

    assert find_roles(nodes_of(build), PLAIN).output == "den_1/logits:0"


def test_two_heads() -> None:
    nodes = nodes_of(two_heads)
    message = r"several operations could be the logits: first/logits:0, second/logits:0\n.*--output-op NAME"
    with pytest.raises(AmbiguousCaseError, match=message):
        find_roles(nodes, PLAIN)
    assert find_roles(nodes, PLAIN, output_op="second/logits").output == "second/logits:0"


def test_two_heads_in_a_case(tmp_path: Path) -> None:
    def build() -> tuple[Any, Any]:
        import tensorflow as tf

        source = placeholder()
        heads = [bayesian_dense(source, CLASSES, name) for name in ("first", "second")]
        for head in heads:
            tf.nn.softmax(head)
        return source, heads[1]

    made = graph_case(tmp_path, build)
    with pytest.raises(AmbiguousCaseError, match="could be the logits: first/logits:0, second/logits:0"):
        load_case(made.path)
    case = load_case(made.path, output_op="second/logits")
    assert read_network(case).layers == ("second",)
    check_draws(made, case)


def test_nothing_like_logits() -> None:
    nodes = nodes_of(lambda: dense(placeholder()))
    with pytest.raises(AmbiguousCaseError, match=r"no operation of the graph looks like logits .*\n.*--output-op NAME"):
        find_roles(nodes, PLAIN)
    with pytest.raises(AmbiguousCaseError, match=r"not clear what 'den_1/logits' predicts\nSay it with --task class"):
        find_roles(nodes, PLAIN, output_op="den_1/logits")
    assert find_roles(nodes, PLAIN, output_op="den_1/logits", task=Task.CLASSIFICATION).kind is Output.LOGITS


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_probabilities_that_are_given_lead_to_logits(activation: str) -> None:
    def build() -> None:
        import tensorflow as tf

        tf.identity(getattr(tf.nn, activation)(dense(placeholder())), name="probabilities")

    roles = find_roles(nodes_of(build), PLAIN, output_op="probabilities")
    assert (roles.output, roles.kind) == ("den_1/logits:0", Output.LOGITS)
    assert f"the input of the {activation} probabilities that was given" in roles.found[1]


# Regression


def test_a_regression_is_named(tmp_path: Path) -> None:
    def build() -> tuple[Any, Any]:
        source = placeholder()
        return source, bayesian_dense(source, 1, "den_1")

    made = graph_case(tmp_path, build)
    with pytest.raises(AmbiguousCaseError, match=r"looks like logits .*\n.*and --task regression if it predicts real"):
        load_case(made.path)
    with pytest.raises(AmbiguousCaseError, match=r"does not say which operation predicts\n.*NAME --task regression"):
        load_case(made.path, task="regression")
    with pytest.raises(AmbiguousCaseError, match="it is not clear what 'den_1/logits' predicts"):
        load_case(made.path, output_op="den_1/logits")
    case = load_case(made.path, output_op="den_1/logits", task="regression")
    assert (case.task, case.roles.kind) == (Task.REGRESSION, Output.PREDICTION)
    network = read_network(case)
    draws = GraphEngine(case, network, network.masks, 0).draw(made.inputs, range(1)).values
    np.testing.assert_allclose(draws[0].reshape(made.outputs.shape), made.outputs, atol=1e-5)
