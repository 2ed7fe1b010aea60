"""Worlds for the reader of the lowering: networks as cases, and what their own graph gives when nothing is random."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from bprune.arrays import AnyArray
from bprune.case import Case, load_case
from bprune.engines.check import graph_at_zero_scale
from bprune.lowering.program import Program, weights_of
from bprune.lowering.read import read_program
from bprune.posterior import Network, read_network
from tests.lowering.reference import run_program

__all__ = ["NETWORKS", "check_reading", "distance", "inputs_of", "keras_case", "lowered", "sequential", "wide"]

RELATIVE_TOLERANCE = 1e-5
"""Law 4: of the largest magnitude."""

Build = Callable[[], Any]


def inputs_of(case: Case, examples: int = 4) -> AnyArray:
    """Inputs of a case, all different."""
    shape = [size or 1 for size in (case.graph.input_shape or ())[1:]]
    values = np.random.default_rng(3).normal(0.3, 1.0, (examples, *shape))
    return values.astype(case.graph.input_dtype)


def lowered(path: Path, **options: Any) -> tuple[Case, Network, Program]:
    """A case, its posteriors, and its program as it was read."""
    case = load_case(path, **options)
    network = read_network(case)
    return case, network, read_program(case, network)


def distance(case: Case, network: Network, program: Program, inputs: AnyArray | None = None) -> float:
    """How far program and graph are apart when all scales are 0, in units of the output's largest magnitude."""
    values = inputs_of(case) if inputs is None else inputs
    blocks = [values] if case.graph.batch_size != 1 else list(values[:, None])
    outputs = [graph_at_zero_scale(case, network, block) for block in blocks]
    expected = [np.concatenate(parts) for parts in zip(*outputs, strict=True)]
    found = run_program(program, values)
    assert [item.shape for item in found] == [item.shape for item in expected]
    assert np.ptp(expected[0], axis=0).max() > 0.0, "the examples do not differ"
    return max(float(np.abs(a - b).max() / np.abs(a).max()) for a, b in zip(expected, found, strict=True))


def check_reading(path: Path, **options: Any) -> Program:
    """The program of a case obeys law 4, and samples every posterior from its own parameters.

    Law 4 sees locations alone; what a weight tensor says of its scales is compared with the posterior itself.
    """
    case, network, program = lowered(path, **options)
    assert distance(case, network, program) <= RELATIVE_TOLERANCE
    posteriors = {item.name: item for item in network.posteriors}
    sampled = set()
    for op in program.ops:
        for weights in weights_of(op).values():
            if weights.stream is not None and weights.ids is not None and weights.scale is not None:
                posterior = posteriors[weights.stream.posterior]
                sampled.add(posterior.name)
                assert weights.family == posterior.family.name
                assert weights.stream.size == posterior.size
                assert getattr(op, "layer", None) == posterior.layer
                loc, scale = (item.reshape(-1)[weights.ids] for item in (posterior.loc, posterior.scale))
                np.testing.assert_array_equal(weights.loc, loc.astype(np.float32))
                np.testing.assert_array_equal(weights.scale, scale.astype(np.float32))
    assert sampled == set(posteriors)
    return program


def wide() -> Any:
    """A posterior with scales that show, and locations that differ."""
    import tensorflow_probability as tfp
    import tf_keras

    return tfp.layers.default_mean_field_normal_fn(
        loc_initializer=tf_keras.initializers.RandomNormal(stddev=0.5, seed=2),
        untransformed_scale_initializer=tf_keras.initializers.RandomNormal(mean=-1.0, stddev=0.3, seed=1),
    )


def keras_case(folder: Path, build: Build, task: str = "regression") -> Path:
    """A Keras model as a case; its variables get values that are all different and not 0."""
    from bprune.training import write_case

    model = build()
    generator = np.random.default_rng(5)
    for variable in model.variables:
        if "posterior" not in variable.name and variable.dtype.is_floating:
            variable.assign(np.abs(generator.normal(0.6, 0.3, variable.shape)) + 0.05)
    write_case(folder, model, iteration=1, task=task)
    return folder


def sequential(shape: tuple[int | None, ...], *layers: Callable[[Any, Any], Any]) -> Build:
    """A Sequential model; every layer is a function of `tf_keras.layers` and `tfp.layers`."""

    def build() -> Any:
        import tensorflow_probability as tfp
        import tf_keras

        made = [layer(tf_keras.layers, tfp.layers) for layer in layers]
        return tf_keras.Sequential([tf_keras.Input(shape), *made])

    return build


def flipout(units: int = 3) -> Callable[[Any, Any], Any]:
    """A dense flipout layer."""
    return lambda keras, tfp: tfp.DenseFlipout(units, kernel_posterior_fn=wide())


def flat(keras: Any, tfp: Any) -> Any:
    """Flatten."""
    return keras.Flatten()


def function(call: Callable[[Any], Any]) -> Callable[[Any, Any], Any]:
    """A Lambda layer."""
    return lambda keras, tfp: keras.Lambda(call)


def convolution(kind: str, *arguments: Any, **options: Any) -> Callable[[Any, Any], Any]:
    """A Bayesian convolution."""
    return lambda keras, tfp: getattr(tfp, f"Convolution{kind}")(*arguments, kernel_posterior_fn=wide(), **options)


def activations(*names: str) -> list[Callable[[Any, Any], Any]]:
    """Activation layers."""
    return [lambda keras, tfp, name=name: keras.Activation(name) for name in names]  # type: ignore[misc]


def _residual() -> Any:
    import tensorflow_probability as tfp
    import tf_keras

    keras, layers = tf_keras.layers, tfp.layers

    def block(x: Any, units: int, stride: int) -> Any:
        options: dict[str, Any] = {"padding": "same", "kernel_posterior_fn": wide()}
        y = layers.Convolution2DFlipout(units, 3, strides=stride, **options)(x)
        y = keras.ReLU()(keras.BatchNormalization()(y))
        y = keras.BatchNormalization()(layers.Convolution2DReparameterization(units, 3, **options)(y))
        shortcut = x if stride == 1 else layers.Convolution2DFlipout(units, 1, strides=stride, **options)(x)
        return keras.ReLU()(keras.Add()([shortcut, y]))

    inputs = tf_keras.Input((8, 8, 3))
    x = block(block(inputs, 3, 1), 5, 2)
    outputs = layers.DenseFlipout(3, kernel_posterior_fn=wide())(keras.GlobalAveragePooling2D()(x))
    return tf_keras.Model(inputs, outputs)


def _branches() -> Any:
    import tensorflow_probability as tfp
    import tf_keras

    keras = tf_keras.layers
    inputs = tf_keras.Input((6,))
    first, second = keras.Dense(4, "gelu")(inputs), keras.Dense(4, "swish")(inputs)
    product = keras.Multiply()([first, second])
    joined = keras.Concatenate()([product, keras.Subtract()([first, product]), inputs])
    options = {"kernel_posterior_fn": wide(), "bias_posterior_fn": wide(), "bias_divergence_fn": None}
    return tf_keras.Model(inputs, tfp.layers.DenseReparameterization(2, **options)(joined))


def _arithmetic(x: Any) -> Any:
    import tensorflow as tf

    powers = tf.pow(x, 3.0) + tf.pow(x * x + 1.0, -0.5) + tf.math.squared_difference(x, 1.0)
    limits = tf.maximum(x, 0.3 * x) + tf.minimum(x, 2.0) - tf.clip_by_value(x, -1.0, 1.0) + tf.nn.relu(x - 1.0)
    divided = 2.0 / (1.0 + tf.exp(x)) - tf.square(x) / 3.0 + tf.math.divide_no_nan(x, 4.0)
    return tf.add_n([tf.sin(x) + tf.cos(x) * tf.abs(x), powers, limits, divided]) - tf.math.erfc(-x)


def _moves(x: Any) -> Any:
    import tensorflow as tf

    x = tf.unstack(tf.stack([x, 2.0 * x], -1), axis=2)[1]
    x = tf.concat(tf.split(x, 3, axis=-1)[::-1], -1)
    x = tf.gather(x, [5, 0, 1, 3], axis=1)[:, ::-1]
    x = x[:, 1:3] * x[:, 0:1] + x[:, 3, None]
    rows = tf.tile(x[..., None], [1, 1, 2]) * tf.constant([[1.0, 2.0], [3.0, 4.0]])
    return tf.transpose(rows, [0, 2, 1])[:, :, :1] * tf.constant([1.0, 2.0, 0.5])


def _constants(x: Any) -> Any:
    """A column of ones, a token in front of the positions, and a learned row for every example."""
    import tensorflow as tf

    ones = tf.ones_like(x[:, :, :1])
    token = tf.tile(tf.constant([[[1.0, 2.0, 3.0]]]), [tf.shape(x)[0], 1, 1])
    row = tf.broadcast_to(tf.constant([0.5, 0.25, 0.75]), tf.concat([tf.shape(x)[:1], [2, 3]], 0))
    return tf.concat([token, tf.concat([x, ones], -1), row * 2.0], 1)


def _attention(x: Any) -> Any:
    import tensorflow as tf

    return x * tf.nn.softmax(tf.reduce_sum(x, -1, keepdims=True), 1)


_PICTURE = (9, 8, 2)

NETWORKS: dict[str, Build] = {
    "dense layers on positions": sequential(
        (5, 3, 6),
        lambda keras, tfp: keras.Dense(4, "relu"),
        lambda keras, tfp: tfp.DenseReparameterization(4, kernel_posterior_fn=wide()),
        lambda keras, tfp: keras.Reshape((15, 4)),
        lambda keras, tfp: keras.TimeDistributed(keras.Dense(3, "tanh")),
        flat,
        flipout(),
    ),
    "1D convolutions": sequential(
        (19, 2),
        convolution("1DFlipout", 4, 3, padding="same", strides=2),
        convolution("1DReparameterization", 3, 2),
        convolution("1DFlipout", 3, 3, padding="same", dilation_rate=2),
        lambda keras, tfp: keras.Conv1D(4, 2, padding="causal", dilation_rate=2),
        lambda keras, tfp: keras.MaxPooling1D(2),
        lambda keras, tfp: keras.AveragePooling1D(2),
        flat,
        flipout(),
    ),
    "2D convolutions": sequential(
        _PICTURE,
        convolution("2DFlipout", 4, (3, 2), padding="same", strides=(2, 3)),
        convolution("2DReparameterization", 3, (2, 1)),
        flat,
        flipout(),
    ),
    "dilated convolutions": sequential(
        (15, 14, 2),
        convolution("2DFlipout", 4, 3, padding="same", dilation_rate=(2, 3)),
        convolution("2DFlipout", 3, 3, dilation_rate=2),
        lambda keras, tfp: keras.Conv2D(3, 3, padding="same", dilation_rate=2),
        lambda keras, tfp: keras.DepthwiseConv2D(3, dilation_rate=2),
        flat,
        flipout(),
    ),
    "3D convolutions": sequential(
        (6, 7, 6, 2),
        convolution("3DFlipout", 3, 2, padding="same", strides=2),
        lambda keras, tfp: keras.MaxPooling3D(2, 1),
        lambda keras, tfp: keras.AveragePooling3D((1, 2, 1)),
        flat,
        flipout(),
    ),
    "depthwise": sequential(
        _PICTURE,
        lambda keras, tfp: keras.DepthwiseConv2D(3, depth_multiplier=2, padding="same", strides=2),
        lambda keras, tfp: keras.SeparableConv2D(5, 3, padding="same"),
        flat,
        flipout(),
    ),
    "pooling": sequential(
        _PICTURE,
        lambda keras, tfp: keras.ZeroPadding2D(1),
        lambda keras, tfp: keras.MaxPooling2D(3, 2, padding="same"),
        lambda keras, tfp: keras.Cropping2D(((1, 0), (0, 1))),
        lambda keras, tfp: keras.AveragePooling2D(3, 2, padding="same"),
        lambda keras, tfp: keras.GlobalMaxPooling2D(keepdims=True),
        flat,
        flipout(),
    ),
    "activations": sequential(
        (6,),
        *activations("elu", "selu", "tanh", "sigmoid", "softplus", "softsign", "gelu", "swish", "exponential"),
        *activations("linear", "hard_sigmoid", "mish", "softmax", "relu"),
        lambda keras, tfp: keras.LeakyReLU(0.2),
        lambda keras, tfp: keras.ReLU(max_value=6.0),
        lambda keras, tfp: keras.PReLU(),
        flipout(),
    ),
    "normalisation": sequential(
        (7, 6, 2),
        lambda keras, tfp: keras.BatchNormalization(),
        lambda keras, tfp: keras.LayerNormalization(),
        flat,
        lambda keras, tfp: keras.Normalization(mean=1.0, variance=2.0),
        lambda keras, tfp: keras.BatchNormalization(),
        lambda keras, tfp: keras.LayerNormalization(),
        lambda keras, tfp: keras.UnitNormalization(),
        flipout(),
    ),
    "arithmetic": sequential((6,), function(_arithmetic), flipout()),
    "moved elements": sequential((6,), function(_moves), flat, flipout()),
    "constants beside tensors": sequential((4, 2), function(_constants), flat, flipout()),
    "positions of one example": sequential(
        (5, 6),
        function(_attention),
        lambda keras, tfp: keras.Permute((2, 1)),
        lambda keras, tfp: keras.EinsumDense("abc,cde->abde", (6, 2, 3), bias_axes="e"),
        lambda keras, tfp: keras.EinsumDense("abde,dez->abz", (6, 4)),
        lambda keras, tfp: keras.GlobalAveragePooling1D(),
        flipout(),
    ),
    "layers that do nothing now": sequential(
        (6,),
        lambda keras, tfp: keras.Dropout(0.5),
        lambda keras, tfp: keras.GaussianNoise(0.1),
        function(lambda x: x),
        flipout(),
    ),
    "residual": _residual,
    "branches": _branches,
}
"""Deterministic layers of all kinds around Bayesian ones."""
