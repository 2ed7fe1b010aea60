"""Graphs that are legal but unusual load, run, and give what their own session gave."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest

from bprune.arrays import AnyArray
from bprune.case import load_case
from bprune.errors import RefusedGraphError
from bprune.posterior import read_network
from tests.case import cases
from tests.case.cases import CLASSES, FEATURES, THIRD_PARTY, Made, bayesian_dense, flipout, graph_case
from tests.case.graph_checks import Built, check, placeholder

pytestmark = [pytest.mark.filterwarnings(line) for line in THIRD_PARTY]

Result = TypeVar("Result")


# Variables


def test_ref_variables(tmp_path: Path) -> None:
    def build() -> Built:
        source = placeholder()
        return source, bayesian_dense(source, CLASSES, "den_1", use_resource=False)

    case = check(graph_case(tmp_path, build), output_op="den_1/logits")
    assert not any(variable.is_resource for variable in case.graph.variables)
    assert read_network(case).layers == ("den_1",)


def test_variables_shared_by_two_uses(tmp_path: Path) -> None:
    def build() -> Built:
        source, layer = placeholder(), flipout(FEATURES, "den_1", 1)
        return source, layer(layer(source))

    assert len(check(graph_case(tmp_path, build), output_op="den_1_1/BiasAdd").graph.variables) == 3


# Functions and control flow


def test_function_called_in_the_graph(tmp_path: Path) -> None:
    def build() -> Built:
        import tensorflow as tf

        source, layer = placeholder(), flipout(CLASSES, "den_1", 1)
        layer.build([None, FEATURES])
        called = tf.function(lambda tensor: tf.nn.relu(layer(tensor)), autograph=False)
        return source, tf.identity(called(source), name="out")

    case = check(graph_case(tmp_path, build), output_op="out")
    assert not {"PartitionedCall", "StatefulPartitionedCall"} & {node.op for node in case.graph.nodes}
    assert [item.shape for item in read_network(case).posteriors] == [(FEATURES, CLASSES)]


def test_functions_in_functions(tmp_path: Path) -> None:
    def build() -> Built:
        import tensorflow as tf

        source = placeholder()
        output = bayesian_dense(source, CLASSES, "den_1")
        inner = tf.function(lambda tensor: tf.nn.relu(tensor), autograph=False)
        outer = tf.function(lambda tensor: inner(tensor) + 1.0, autograph=False)
        return source, tf.identity(outer(output), name="out")

    check(graph_case(tmp_path, build), output_op="out")


@pytest.mark.parametrize("resource", [True, False], ids=["resource", "ref"])
@pytest.mark.parametrize("version", [1, 2])
def test_while_loop(tmp_path: Path, version: int, resource: bool) -> None:
    def build() -> Built:
        import tensorflow as tf

        source = placeholder()
        hidden = bayesian_dense(source, CLASSES, "den_1", use_resource=resource)
        with tf.compat.v1.variable_scope("det", use_resource=resource):
            bias = tf.compat.v1.get_variable("bias", [CLASSES], initializer=tf.compat.v1.constant_initializer(0.5))
        loop = tf.compat.v1.while_loop(
            lambda count, value: count < 3,
            lambda count, value: (count + 1, tf.nn.relu(value) + bias * 0.5),
            [tf.constant(0), hidden],
        )
        return source, tf.identity(loop[1], name="out")

    case = with_control_flow(version, lambda: check(graph_case(tmp_path, build), output_op="out"))
    operations = {node.op for node in case.graph.nodes}
    assert operations & ({"Enter", "NextIteration"} if version == 1 else {"While", "StatelessWhile"})


@pytest.mark.parametrize("resource", [True, False], ids=["resource", "ref"])
@pytest.mark.parametrize("version", [1, 2])
def test_cond(tmp_path: Path, version: int, resource: bool) -> None:
    def build() -> Built:
        import tensorflow as tf

        source = placeholder()
        hidden = bayesian_dense(source, CLASSES, "den_1", use_resource=resource)
        with tf.compat.v1.variable_scope("det", use_resource=resource):
            bias = tf.compat.v1.get_variable("bias", [CLASSES], initializer=tf.compat.v1.constant_initializer(0.5))
        large = tf.reduce_sum(source) > 100.0
        with tf.control_dependencies([tf.compat.v1.assert_greater(tf.shape(source)[0], 0)]):
            hidden = tf.identity(hidden)
        output = tf.compat.v1.cond(large, lambda: hidden * 2.0, lambda: hidden + bias)
        return source, tf.identity(output, name="out")

    case = with_control_flow(version, lambda: check(graph_case(tmp_path, build), output_op="out"))
    operations = {node.op for node in case.graph.nodes}
    assert operations & ({"Switch", "RefSwitch"} if version == 1 else {"If", "StatelessIf"})


def with_control_flow(version: int, body: Callable[[], Result]) -> Result:
    import tensorflow as tf

    if version == 2:
        return body()
    tf.compat.v1.disable_control_flow_v2()
    try:
        return body()
    finally:
        tf.compat.v1.enable_control_flow_v2()


@pytest.mark.parametrize("version", [1, 2])
def test_batch_norm_with_a_learning_phase(tmp_path: Path, version: int) -> None:
    def build() -> Built:
        import tensorflow as tf
        import tf_keras

        source = placeholder()
        training = tf.compat.v1.placeholder_with_default(False, [], name="learning_phase")
        norm = tf_keras.layers.BatchNormalization(name="bn", moving_variance_initializer=tf.constant_initializer(2.0))
        hidden = norm(flipout(5, "den_1", 1)(source), training=training)
        return source, tf.identity(flipout(CLASSES, "den_2", 2)(hidden), name="out")

    case = with_control_flow(version, lambda: check(graph_case(tmp_path, build), output_op="out"))
    assert {variable.name for variable in case.graph.variables} >= {"bn/moving_mean", "bn/moving_variance"}


def test_convolution_with_batch_norm(tmp_path: Path) -> None:
    """The learning phase is Keras' own here; both branches keep values for a gradient."""

    def build() -> Built:
        import tensorflow as tf
        import tf_keras

        source = placeholder(shape=[None, 6, 6, 2])
        hidden = tf_keras.layers.BatchNormalization(name="bn")(tf_keras.layers.Conv2D(3, 3, name="conv")(source))
        return source, tf.identity(flipout(CLASSES, "den_1", 1)(tf_keras.layers.Flatten()(hidden)), name="out")

    given = np.random.default_rng(2).standard_normal((4, 6, 6, 2)).astype(np.float32)
    case = check(graph_case(tmp_path, build, given=given), output_op="out")
    assert "PlaceholderWithDefault" in {node.op for node in case.graph.nodes}


# Number types


def test_float64(tmp_path: Path) -> None:
    def build() -> Built:
        import tensorflow as tf

        source = placeholder(tf.float64)
        return source, tf.identity(flipout(CLASSES, "den_1", 1, dtype="float64")(source), name="out")

    made = graph_case(tmp_path, build, given=cases.inputs().astype(np.float64))
    case = check(made, output_op="out", tolerance=1e-7)
    assert case.graph.input_dtype == "float64"
    assert read_network(case).layers == ("den_1",)


def test_bfloat16(tmp_path: Path) -> None:
    import ml_dtypes

    def build() -> Built:
        import tensorflow as tf

        source = placeholder(tf.bfloat16)
        return source, tf.identity(bayesian_dense(source, CLASSES, "den_1"), name="out")

    made = graph_case(tmp_path, build, given=cases.inputs().astype(ml_dtypes.bfloat16))
    case = check(made, output_op="out", tolerance=2e-2)
    assert case.graph.input_dtype == "bfloat16"
    assert read_network(case).layers == ("den_1",)


def test_mixed_bfloat16(tmp_path: Path) -> None:
    """A deterministic layer of mixed precision; TFP's own layers do not work with it."""

    def build() -> Built:
        import tensorflow as tf
        import tf_keras

        source = placeholder()
        hidden = tf_keras.layers.Dense(5, "relu", name="det", dtype="mixed_bfloat16")(source)
        return source, tf.identity(flipout(CLASSES, "den_1", 1, dtype="float32")(hidden), name="out")

    case = check(graph_case(tmp_path, build), output_op="out", tolerance=2e-2)
    assert {variable.dtype for variable in case.graph.variables} == {"float32"}
    assert read_network(case).layers == ("den_1",)


# Layers of other kinds


def test_lstm_beside_flipout(tmp_path: Path) -> None:
    def build() -> Built:
        import tensorflow as tf
        import tf_keras

        source = placeholder(shape=[None, 4, FEATURES])
        hidden = tf_keras.layers.LSTM(5, name="lstm")(source)
        return source, tf.identity(flipout(CLASSES, "den_1", 1)(hidden), name="out")

    case = check(graph_case(tmp_path, build, given=sequences()), output_op="out")
    assert "While" in {node.op for node in case.graph.nodes}


def sequences() -> AnyArray:
    return np.stack([cases.inputs()] * 4, axis=1)


def scanned() -> Built:
    import tensorflow as tf

    source = placeholder(shape=[None, 4, FEATURES])
    hidden = tf.scan(lambda state, step: tf.tanh(state * 0.5 + step), tf.transpose(source, [1, 0, 2]))
    return source, tf.identity(flipout(CLASSES, "den_1", 1)(hidden[-1]), name="out")


def test_recurrence_over_a_list(tmp_path: Path) -> None:
    case = check(graph_case(tmp_path, scanned, given=sequences()), output_op="out")
    assert "StatelessWhile" in {node.op for node in case.graph.nodes}


def test_recurrence_over_an_array_needs_trust(tmp_path: Path) -> None:
    """What recurrent layers of TensorFlow 1 are made of; its kernels abort on absurd sizes."""
    made = with_control_flow(1, lambda: graph_case(tmp_path, scanned, given=sequences()))
    with pytest.raises(RefusedGraphError, match=r"not allowed: TensorArray\w+ \(operation 'scan/"):
        load_case(made.path, output_op="out", task="classification")
    check(made, output_op="out", trust_graph=True)


def test_lstm_of_a_keras_model(tmp_path: Path) -> None:
    import tf_keras

    from bprune.training import write_case

    model = tf_keras.Sequential([tf_keras.layers.LSTM(5, name="lstm"), flipout(CLASSES, "den_1", 1)])
    outputs = np.asarray(model(sequences()))
    write_case(tmp_path / "case", model, task="classification")
    check(Made(tmp_path / "case", sequences(), outputs))


def test_embedding_with_integer_inputs(tmp_path: Path) -> None:
    def build() -> Built:
        import tensorflow as tf
        import tf_keras

        source = placeholder(tf.int32, [None, 3])
        hidden = tf_keras.layers.Flatten()(tf_keras.layers.Embedding(7, 4, name="words")(source))
        return source, tf.identity(flipout(CLASSES, "den_1", 1)(hidden), name="out")

    given = np.arange(12, dtype=np.int32).reshape(4, 3) % 7
    case = check(graph_case(tmp_path, build, given=given), output_op="out")
    assert case.graph.input_dtype == "int32"
