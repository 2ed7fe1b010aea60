"""Graphs of TensorFlow 1, as scripts write them, and forms of layers that Keras does not make."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bprune.errors import NotLoweredError
from bprune.lowering.ops import Affine, Dense
from bprune.lowering.program import Program, weights_of
from tests.case.cases import CLASSES, FEATURES, THIRD_PARTY, bayesian_dense, flipout, graph_case
from tests.lowering.graphs import check_reading, wide

pytestmark = [pytest.mark.filterwarnings(line) for line in THIRD_PARTY]

Built = tuple[Any, Any]
SCALE = -1.0


def placeholder(shape: list[int | None] | None = None, dtype: str = "float32") -> Any:
    import tensorflow as tf

    return tf.compat.v1.placeholder(dtype, [None, FEATURES] if shape is None else shape, name="x")


def read(
    folder: Path, build: Callable[[], Built], *, given: Any = None, feeds: dict[str, float] | None = None
) -> Program:
    """The program of a graph.

    Args:
        folder: Where the case is written.
        build: Makes input and output.
        given: What the graph's own session is fed; the input is of another shape or type than usual.
        feeds: Values of further placeholders.
    """

    def named() -> Built:
        import tensorflow as tf

        source, output = build()
        return source, tf.identity(output, name="out")

    fed = {f"{name}:0": value for name, value in (feeds or {}).items()}
    made = graph_case(folder, named, given=given, feeds=fed)
    return check_reading(made.path, output_op="out", input_op="x", task="classification", feeds=feeds)


def streams(program: Program) -> list[str]:
    found = [weights.stream for op in program.ops for weights in weights_of(op).values()]
    return [stream.key for stream in found if stream is not None]


@pytest.mark.parametrize("resource", [True, False], ids=["resource", "ref"])
def test_variables_of_both_kinds(tmp_path: Path, resource: bool) -> None:
    def build() -> Built:
        source = placeholder()
        return source, bayesian_dense(source, CLASSES, "den_1", scale=SCALE, use_resource=resource)

    program = read(tmp_path, build)
    assert [type(op) for op in program.ops] == [Dense]


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("picture", [True, False])
def test_the_branch_of_the_learning_phase_is_decided(tmp_path: Path, version: int, picture: bool) -> None:
    """Batch normalisation of both control flows: Switch and Merge, or If; the training branch is left out."""
    import tensorflow as tf

    def build() -> Built:
        import tf_keras

        source = placeholder([None, 5, 5, 2] if picture else None)
        training = tf.compat.v1.placeholder_with_default(False, [], name="keras_learning_phase")
        hidden = tf_keras.layers.Conv2D(3, 3, name="conv")(source) if picture else flipout(5, "den_0", 1, SCALE)(source)
        options = {"moving_variance_initializer": "ones", "moving_mean_initializer": tf.constant_initializer(0.3)}
        hidden = tf_keras.layers.BatchNormalization(name="bn", **options)(hidden, training=training)
        hidden = tf_keras.layers.Dropout(0.3)(hidden, training=training)
        return source, flipout(CLASSES, "den_1", 2, SCALE)(tf_keras.layers.Flatten()(hidden))

    shape = (4, 5, 5, 2) if picture else (4, FEATURES)
    given = np.random.default_rng(2).standard_normal(shape).astype(np.float32)
    if version == 1:
        tf.compat.v1.disable_control_flow_v2()
    try:
        program = read(tmp_path, build, given=given)
    finally:
        tf.compat.v1.enable_control_flow_v2()
    affine = sum(isinstance(op, Affine) for op in program.ops)
    assert affine == (2 if picture else 4)  # one of a fused normalisation, two of another; one per bias


def test_dropout_whose_keep_probability_is_fed(tmp_path: Path) -> None:
    def build() -> Built:
        import tensorflow as tf

        source = placeholder()
        keep = tf.compat.v1.placeholder(tf.float32, [], name="keep_prob")
        hidden = tf.compat.v1.nn.dropout(flipout(5, "den_1", 1, SCALE)(source), rate=1.0 - keep)
        return source, flipout(CLASSES, "den_2", 2, SCALE)(hidden)

    program = read(tmp_path / "off", build, feeds={"keep_prob": 1.0})
    assert streams(program) == ["den_1/kernel#0", "den_2/kernel#0"]


def test_dropout_of_tensorflow_1(tmp_path: Path) -> None:
    """`floor(keep + uniform)`, as graphs before 1.15 have it; with a keep probability of 1 it is 1."""
    for keep in (1.0, 0.75):

        def build(keep: float = keep) -> Built:
            import tensorflow as tf

            source = placeholder()
            mask = tf.floor(tf.constant(keep) + tf.random.uniform(tf.shape(source)))
            return source, flipout(CLASSES, "den_1", 1, SCALE)(source / keep * mask)

        if keep == 1.0:
            assert streams(read(tmp_path / "one", build)) == ["den_1/kernel#0"]
        else:
            with pytest.raises(NotLoweredError, match=r"\(Floor\) draws random noise beside the posteriors"):
                read(tmp_path / "less", build)


@pytest.mark.parametrize("batch", [1, 4])
def test_a_graph_that_was_built_for_a_batch_size(tmp_path: Path, batch: int) -> None:
    """Its shapes, of signs too, are constants; numbers that are the same for every example are one row."""

    def build() -> Built:
        import tensorflow as tf
        import tensorflow_probability as tfp

        source = placeholder([batch, FEATURES])
        hidden = flipout(5, "den_1", 1, SCALE)(source) + tf.fill([batch, 5], 0.5)
        hidden = tfp.layers.DenseLocalReparameterization(7, kernel_posterior_fn=wide(), name="local")(hidden)
        return source, flipout(CLASSES, "den_2", 2, SCALE)(tf.reshape(tf.nn.relu(hidden), [batch, 7]))

    program = read(tmp_path, build, given=np.ones((batch, FEATURES), np.float32))
    assert program.input_shape == (FEATURES,)
    assert streams(program) == ["den_1/kernel#0", "local/kernel#0", "den_2/kernel#0"]


def test_numbers_that_differ_between_examples_are_refused(tmp_path: Path) -> None:
    def build() -> Built:
        import tensorflow as tf

        source = placeholder([4, FEATURES])
        rows = tf.constant(np.arange(4 * FEATURES, dtype=np.float32).reshape(4, FEATURES))
        return source, flipout(CLASSES, "den_1", 1, SCALE)(source + rows)

    with pytest.raises(NotLoweredError, match=r"\(AddV2\) computes with numbers that differ between examples"):
        read(tmp_path, build)


def test_a_layer_that_is_called_twice_samples_twice(tmp_path: Path) -> None:
    def build() -> Built:
        source, layer = placeholder(), flipout(FEATURES, "den_1", 1, SCALE)
        return source, layer(layer(source))

    assert streams(read(tmp_path, build)) == ["den_1/kernel#0", "den_1/kernel#1"]


@pytest.mark.parametrize("kind", ["DenseFlipout", "DenseReparameterization", "DenseLocalReparameterization"])
def test_locations_that_are_all_zero(tmp_path: Path, kind: str) -> None:
    """A layer that was pruned away, or not trained yet: its noise is then all that it gives."""

    def build() -> Built:
        import tensorflow_probability as tfp
        import tf_keras

        zeros = tf_keras.initializers.Zeros()
        posterior = tfp.layers.default_mean_field_normal_fn(loc_initializer=zeros)
        layer = getattr(tfp.layers, kind)(
            5, kernel_posterior_fn=posterior, bias_posterior_fn=posterior, bias_divergence_fn=None, name="zero"
        )
        source = placeholder()
        return source, flipout(CLASSES, "den_1", 1, SCALE)(source[:, :5] + layer(source))

    program = read(tmp_path, build)
    assert sorted(streams(program)) == ["den_1/kernel#0", "zero/bias#0", "zero/kernel#0"]


def test_other_numbers_than_the_location_are_refused(tmp_path: Path) -> None:
    """Flipout around a kernel that is not the posterior's location."""

    def build() -> Built:
        import tensorflow as tf

        source = placeholder()
        hidden = flipout(CLASSES, "den_1", 1, SCALE)(source)
        graph = tf.compat.v1.get_default_graph()
        product = graph.get_operation_by_name("den_1/MatMul_1")
        product._update_input(1, 1.5 * product.inputs[1])
        return source, hidden

    with pytest.raises(NotLoweredError, match=r"\(AddV2\) adds noise to what is not the same layer's product"):
        read(tmp_path, build)


def test_noise_that_two_posteriors_share_is_refused(tmp_path: Path) -> None:
    def build() -> Built:
        import tensorflow as tf

        source = placeholder()
        hidden = bayesian_dense(source, FEATURES, "den_1", scale=SCALE)
        hidden = bayesian_dense(hidden, FEATURES, "den_2", scale=SCALE)
        graph = tf.compat.v1.get_default_graph()
        noise = graph.get_tensor_by_name("den_1/random_normal/RandomStandardNormal:0")
        graph.get_operation_by_name("den_2/random_normal/mul")._update_input(0, noise)
        return source, hidden

    with pytest.raises(NotLoweredError, match=r"'den_2/mul' \(Mul\) shares its noise with other weights"):
        read(tmp_path, build)


def test_a_dense_layer_of_its_own_making(tmp_path: Path) -> None:
    """Transposed kernels, slices of weights, a sampled bias by a plain addition, float64."""

    def build() -> Built:
        import tensorflow as tf

        v1 = tf.compat.v1
        source = placeholder(dtype="float64")
        random = v1.random_normal_initializer(0.0, 0.5, seed=3)
        sampled = []
        for name, shape in (("kernel", (CLASSES, FEATURES)), ("bias", (CLASSES,))):
            with v1.variable_scope("own", use_resource=True):
                loc = v1.get_variable(f"{name}_posterior_loc", shape, tf.float64, random)
                raw = v1.get_variable(f"{name}_posterior_untransformed_scale", shape, tf.float64, random)
            sampled.append(loc + (1e-7 + tf.nn.softplus(raw)) * tf.random.normal(shape, dtype=tf.float64))
        kernel, bias = sampled
        return source, tf.matmul(source, kernel, transpose_b=True) + bias

    program = read(tmp_path, build, given=np.random.default_rng(1).standard_normal((4, FEATURES)))
    assert streams(program) == ["own/kernel#0", "own/bias#0"]
    kernel = weights_of(program.ops[0])["kernel"]
    assert kernel.ids is not None
    np.testing.assert_array_equal(kernel.ids, np.arange(CLASSES * FEATURES).reshape(CLASSES, FEATURES).T)


def test_functions_are_part_of_the_graph(tmp_path: Path) -> None:
    def build() -> Built:
        import tensorflow as tf

        source, layer = placeholder(), flipout(CLASSES, "den_1", 1, SCALE)
        layer.build([None, FEATURES])
        called = tf.function(lambda tensor: tf.nn.relu(layer(tensor)) * 2.0, autograph=False)
        return source, called(source)

    assert len(streams(read(tmp_path, build))) == 1
