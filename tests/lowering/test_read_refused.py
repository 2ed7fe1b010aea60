"""What no program has is refused, and the message names the operation and the reason."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bprune.errors import NotLoweredError
from tests.lowering.graphs import Build, convolution, flat, flipout, function, keras_case, lowered, sequential, wide

POSITIONS = r"gives the positions of an example signs or noise of their own, though they share weights"


def _mc_dropout(x: Any) -> Any:
    import tensorflow as tf

    return tf.nn.dropout(x, 0.5)


def _bernoulli(x: Any) -> Any:
    """Dropout by coins."""
    import tensorflow as tf

    return x * tf.cast(tf.random.uniform(tf.shape(x), 0, 2, tf.int32), tf.float32)


def _signs_of_the_output(x: Any) -> Any:
    import tensorflow as tf

    return x * tf.cast(2 * tf.random.uniform(tf.shape(x), 0, 2, tf.int32) - 1, tf.float32) + 1.0


def _fixed_seed(x: Any) -> Any:
    import tensorflow as tf

    return x + tf.random.stateless_normal([3], [1, 2])


def _tied() -> Any:
    """One draw of a kernel that is used twice."""
    import tensorflow as tf
    import tf_keras

    class Tied(tf_keras.layers.Layer):  # type: ignore[misc]
        def build(self, shape: Any) -> None:
            random = tf_keras.initializers.RandomNormal(stddev=0.5, seed=1)
            self.loc = self.add_weight("kernel_posterior_loc", (6, 6), initializer=random)
            self.scale = self.add_weight("kernel_posterior_untransformed_scale", (6, 6), initializer=random)

        def call(self, x: Any) -> Any:
            kernel = self.loc + (1e-7 + tf.nn.softplus(self.scale)) * tf.random.normal((6, 6))
            return tf.matmul(tf.nn.relu(tf.matmul(x, kernel)), kernel, transpose_b=True)

    return tf_keras.Sequential([tf_keras.Input((6,)), Tied(name="tied")])


def _layer(name: str, **options: Any) -> Callable[[Any, Any], Any]:
    return lambda keras, tfp: getattr(tfp, name)(4, kernel_posterior_fn=wide(), **options)


def _keras(name: str, *arguments: Any, **options: Any) -> Callable[[Any, Any], Any]:
    return lambda keras, tfp: getattr(keras, name)(*arguments, **options)


def _by_function(call: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    def wrapped(x: Any) -> Any:
        import tensorflow as tf

        return call(tf, x)

    return function(wrapped)


NETWORKS: dict[str, tuple[Build, str]] = {
    "flipout on positions": (sequential((5, 6), _layer("DenseFlipout"), flat, flipout()), rf"\(Mul\) {POSITIONS}"),
    "local reparameterization on positions": (
        sequential((5, 6), _layer("DenseLocalReparameterization"), flat, flipout()),
        rf"\(Mul\) {POSITIONS}",
    ),
    "embedding": (
        sequential((6,), _keras("Embedding", 10, 3), flat, flipout()),
        r"embedding.*\(Cast\) turns a tensor into numbers of the type int32",
    ),
    "recurrence": (
        sequential((5, 6), _keras("LSTM", 4), flipout()),
        r"'[\w/]*lstm[\w/]*' \(\w+\) is not an operation that a program has",
    ),
    "dropout that stays": (
        sequential((6,), function(_mc_dropout), flipout()),
        r"\(GreaterEqual\) draws random noise beside the posteriors, such as dropout that stays active",
    ),
    "dropout by coins": (
        sequential((6,), function(_bernoulli), flipout()),
        r"\(Mul\) draws random noise beside the posteriors",
    ),
    "signs beside layers": (
        sequential((6,), function(_signs_of_the_output), flipout()),
        r"\(AddV2\) computes with the noise of a layer in a way that no layer does",
    ),
    "a constant seed": (
        sequential((6,), flipout(), function(_fixed_seed)),
        r"\(StatelessRandom\w+\) draws the same random numbers every time: its seed is a constant",
    ),
    "tied weights": (_tied, r"'[\w/]*MatMul_1' and '[\w/]*MatMul' use the same draw of 'tied/kernel'"),
    "statistics of the batch": (
        sequential((6,), _by_function(lambda tf, x: x - tf.reduce_mean(x, 0)), flipout()),
        r"\(Mean\) reduces the axis of the examples",
    ),
    "normalisation by the batch": (
        sequential(
            (4, 4, 2),
            _by_function(lambda tf, x: tf.compat.v1.nn.fused_batch_norm(x, [1.0, 1.0], [0.0, 0.0])[0]),
            flat,
            flipout(),
        ),
        r"\(FusedBatchNormV3\) normalises with the statistics of the batch",
    ),
    "groups": (
        sequential((6, 6, 4), _keras("Conv2D", 4, 3, groups=2), flat, flipout()),
        r"\(Conv2D\) convolves groups of channels by themselves",
    ),
    "channels first": (
        sequential(
            (2, 5, 5),
            _by_function(lambda tf, x: tf.nn.max_pool2d(x, 2, 2, "VALID", data_format="NCHW")),
            flat,
            flipout(),
        ),
        r"\(MaxPool\) has its channels first; a program has them last",
    ),
    "attention": (
        sequential((5, 6), _by_function(lambda tf, x: tf.matmul(x, x, transpose_b=True)), flat, flipout()),
        r"\(BatchMatMulV2\) multiplies two tensors that depend on the example",
    ),
    "mirrored padding": (
        sequential((6,), _by_function(lambda tf, x: tf.pad(x, [[0, 0], [1, 1]], "REFLECT")), flipout()),
        r"\(MirrorPad\) pads with mirrored elements; a program pads with zeros",
    ),
    "padding with ones": (
        sequential((6,), _by_function(lambda tf, x: tf.pad(x, [[0, 0], [1, 1]], constant_values=1.0)), flipout()),
        r"\(PadV2\) pads with numbers other than 0",
    ),
    "examples that are mixed": (
        sequential((4, 6), _by_function(lambda tf, x: tf.transpose(x, [1, 0, 2])[0]), flipout()),
        r"\(Transpose\) moves the examples away from the first axis",
    ),
    "examples that are taken apart": (
        sequential((6,), flipout(), _by_function(lambda tf, x: x - x[:1])),
        r"\(StridedSlice\) takes examples apart",
    ),
    "the number of examples": (
        sequential((6,), flipout(), _by_function(lambda tf, x: x / tf.cast(tf.shape(x)[0], tf.float32))),
        r"\(RealDiv\) divides by the number of examples",
    ),
    "choices by element": (
        sequential((6,), _by_function(lambda tf, x: tf.where(x > 0.5, x, 0.1 * x)), flipout()),
        r"\(Greater\) is not an operation that a program has",
    ),
    "other precision": (
        sequential((6,), _by_function(lambda tf, x: tf.cast(tf.cast(x, tf.float16) * 2.0, tf.float32)), flipout()),
        r"\(Cast\) turns a tensor into numbers of the type float16",
    ),
    "a power": (
        sequential((6,), _by_function(lambda tf, x: tf.pow(x * x, 1.7)), flipout()),
        r"\(Pow\) raises a tensor to the power 1.7",
    ),
    "transposed convolution": (
        sequential((4, 4, 2), _keras("Conv2DTranspose", 2, 3), flat, flipout()),
        r"\(Conv2DBackpropInput\) is not an operation that a program has",
    ),
    "scales that limit": (
        sequential((6,), _by_function(lambda tf, x: tf.minimum(x, 1e6)), flipout()),
        r"\(Minimum\) limits a tensor to numbers beyond 16",
    ),
    "an open size": (
        sequential((None, 6), _keras("GlobalAveragePooling1D"), flipout()),
        r"the graph leaves the size of its input open: \[\?, \?, 6\]",
    ),
    "no batch in the output": (
        sequential((4, 4, 1), convolution("2DFlipout", 2, 3), _by_function(lambda tf, x: tf.reshape(x, [-1, 2]))),
        r"the output '[\w/]+:0' works on a tensor whose first axis is not that of the examples",
    ),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_reason(name: str, tmp_path: Path) -> None:
    build, reason = NETWORKS[name]
    with pytest.raises(NotLoweredError, match=reason) as caught:
        lowered(keras_case(tmp_path / "case", build))
    assert caught.value.hint == "Run it as it is, with --engine graph."
    assert caught.value.exit_code == 4
