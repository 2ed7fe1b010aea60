"""Networks that use every kind of layer and operation that a program knows, as subclassed TFP models."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from bprune.arrays import AnyArray

__all__ = ["MODELS", "inputs_for", "make"]

CLASSES = 4


def make(name: str) -> Any:
    """One of `MODELS`, called once, so that it has its variables."""
    model = MODELS[name]()
    model(inputs_for(name))
    return model


def inputs_for(name: str, examples: int = 3) -> AnyArray:
    """Inputs of a model in [-1, 2], `[example, ...]`, float32."""
    return np.random.default_rng(11).uniform(-1.0, 2.0, (examples, *SHAPES[name])).astype(np.float32)


def activations() -> dict[str, Callable[[Any], Any]]:
    """Every activation, by name."""
    import tensorflow as tf

    return {
        "relu": tf.nn.relu,
        "relu6": lambda x: tf.nn.relu6(4.0 * x),
        "leaky_relu": lambda x: tf.nn.leaky_relu(x, 0.3),
        "elu": tf.nn.elu,
        "selu": tf.nn.selu,
        "gelu": lambda x: tf.nn.gelu(x, approximate=False),
        "gelu_tanh": lambda x: tf.nn.gelu(x, approximate=True),
        "swish": tf.nn.silu,
        "tanh": tf.nn.tanh,
        "sigmoid": tf.nn.sigmoid,
        "softplus": tf.nn.softplus,
        "softsign": tf.nn.softsign,
        "softmax": tf.nn.softmax,
        "log_softmax": tf.nn.log_softmax,
        "sin": tf.sin,
        "cos": tf.cos,
        "exp": lambda x: tf.exp(0.5 * x),
        "square": tf.square,
        "abs": tf.abs,
        "erf": tf.math.erf,
        "rsqrt": lambda x: tf.math.rsqrt(1.0 + tf.square(x)),
        "log": lambda x: tf.math.log(tf.sqrt(1.0 + tf.square(x))),
        "reciprocal": lambda x: tf.math.reciprocal(2.0 + tf.abs(x)),
    }


def bayesian(kind: str, *arguments: Any, bias: bool = False, **options: Any) -> Any:
    """A TFP layer with a location that differs everywhere and scales that show, and a sampled bias if wished."""
    import tensorflow_probability as tfp
    import tf_keras

    def posterior(seed: int) -> Any:
        normal = tf_keras.initializers.RandomNormal
        return tfp.layers.default_mean_field_normal_fn(
            loc_initializer=normal(0.05, 0.4, seed=seed),
            untransformed_scale_initializer=normal(-2.5, 0.4, seed=seed + 1),
        )

    seed = sum(map(ord, options["name"]))
    if bias:
        options |= {"bias_posterior_fn": posterior(seed + 2), "bias_divergence_fn": None}
    layer = getattr(tfp.layers, kind)
    return layer(*arguments, kernel_posterior_fn=posterior(seed), kernel_divergence_fn=None, **options)


def variational(units: int, name: str) -> Any:
    """A DenseVariational layer in the form of TFP's tutorials."""
    import tensorflow_probability as tfp

    from tests.training.worlds import posterior_mean_field, prior_trainable

    return tfp.layers.DenseVariational(units, posterior_mean_field, prior_trainable, kl_weight=0.01, name=name)


def logits(name: str = "logits") -> Any:
    """The last layer."""
    return bayesian("DenseReparameterization", CLASSES, bias=True, name=name)


def chain(values: Any, layers: Sequence[Any]) -> Any:
    """Layers or functions one after the other."""
    for layer in layers:
        values = layer(values)
    return values


def normalisation(name: str, seed: int = 5) -> Any:
    """Batch normalisation with statistics, gains and offsets that differ, some gains negative."""
    import tf_keras

    uniform = tf_keras.initializers.RandomUniform
    return tf_keras.layers.BatchNormalization(
        name=name,
        gamma_initializer=uniform(-1.0, 2.0, seed=seed),
        beta_initializer=uniform(-0.5, 1.0, seed=seed + 1),
        moving_mean_initializer=uniform(-0.5, 1.0, seed=seed + 2),
        moving_variance_initializer=uniform(0.5, 2.0, seed=seed + 3),
    )


def plain(kind: str, *arguments: Any, name: str, **options: Any) -> Any:
    """A Keras layer with weights that differ, biases included."""
    import tf_keras

    seed = sum(map(ord, name))
    normal = tf_keras.initializers.RandomNormal
    parts = ["depthwise", "pointwise"] if kind.startswith("Separable") else ["kernel"]
    parts = ["depthwise"] if kind.startswith("Depthwise") else parts
    options |= {f"{part}_initializer": normal(0.1, 0.5, seed=seed + i) for i, part in enumerate(parts)}
    bias = normal(0.2, 0.3, seed=seed + 7)
    return getattr(tf_keras.layers, kind)(*arguments, bias_initializer=bias, name=name, **options)


def every_activation() -> Any:
    """Dense layers of all kinds, one activation behind each, batch normalisation, a sum, a product, a layer twice."""
    import tensorflow as tf
    import tf_keras

    kinds = ["DenseFlipout", "DenseReparameterization", "DenseLocalReparameterization"]

    class EveryActivation(tf_keras.Model):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.functions = list(activations().values())
            self.heads = [
                bayesian(kinds[number % 3], 3, bias=number % 2 == 0, name=f"head_{name}")
                for number, name in enumerate(activations())
            ]
            self.norm = normalisation("norm")
            self.shared = bayesian("DenseFlipout", 6, name="shared")
            self.plain = plain("Dense", 6, name="plain")
            self.packed = variational(6, "packed")
            self.last = logits()

        def call(self, inputs: Any, training: bool = False) -> Any:
            parts = [function(head(inputs)) for head, function in zip(self.heads, self.functions, strict=True)]
            values = self.norm(tf.concat(parts, -1), training=training)
            values = tf.tanh(0.2 * self.plain(values) + 0.1 * self.packed(values))
            values = self.shared(self.shared(values) * tf.sigmoid(values)) - 0.5 * values
            return self.last(values / 2.0)

    return EveryActivation()


def every_conv_2d() -> Any:
    """2D convolutions of all kinds, with strides, dilations and both paddings; pooling; rearrangements."""
    import tensorflow as tf
    import tf_keras

    keras = tf_keras.layers

    class EveryConv2D(tf_keras.Model):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            flip, sampled = "Convolution2DFlipout", "Convolution2DReparameterization"
            self.branches = [
                [
                    bayesian(flip, 5, 3, strides=2, padding="same", activation="relu", name="strided"),
                    keras.ZeroPadding2D(((1, 0), (2, 1))),
                    bayesian(sampled, 4, (3, 2), padding="valid", activation="elu", bias=True, name="padded"),
                    keras.MaxPooling2D(2, 1, padding="same"),
                ],
                [
                    bayesian(sampled, 4, 3, dilation_rate=2, padding="same", activation="tanh", name="dilated"),
                    normalisation("norm_1"),
                    keras.AveragePooling2D(3, 2, padding="same"),
                    bayesian(flip, 4, 2, dilation_rate=(2, 1), activation="relu", bias=True, name="dilated_valid"),
                ],
                [
                    plain("Conv2D", 4, (2, 3), strides=(2, 1), name="plain"),
                    keras.ReLU(6.0),
                    plain("DepthwiseConv2D", 3, depth_multiplier=2, padding="same", name="depthwise"),
                    keras.LeakyReLU(0.2),
                    bayesian(flip, 4, 1, strides=2, name="project"),
                ],
                [
                    normalisation("norm_2", 9),
                    plain("SeparableConv2D", 4, 3, name="separable"),
                    keras.Permute((2, 1, 3)),
                    bayesian(sampled, 3, (1, 3), strides=(1, 3), padding="same", activation="selu", name="flat"),
                ],
            ]
            self.squeeze = bayesian("DenseFlipout", 4, activation="sigmoid", name="squeeze")
            self.last = logits()

        def call(self, inputs: Any, training: bool = False) -> Any:
            first, second, third, fourth = (chain(inputs, branch) for branch in self.branches)
            first *= self.squeeze(tf.reduce_mean(first, [1, 2]))[:, None, None, :]
            first = tf.reduce_max(first, [1, 2])
            second = keras.GlobalAveragePooling2D()(second)
            third = keras.Reshape((-1, 8))(tf.transpose(third, [0, 2, 1, 3]))
            third = keras.GlobalMaxPooling1D()(third)
            fourth = keras.Flatten()(tf.reduce_mean(fourth, 2, keepdims=True))
            return self.last(tf.concat([tf.add(first, second), third, fourth], 1) / 4.0)

    return EveryConv2D()


def every_conv_1d_3d() -> Any:
    """Convolutions over one and three axes, and a network that joins them."""
    import tensorflow as tf
    import tf_keras

    keras = tf_keras.layers

    class EveryConv1D3D(tf_keras.Model):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            kinds = [
                f"Convolution{axes}D{estimator}" for axes in "13" for estimator in ("Flipout", "Reparameterization")
            ]
            self.line = [
                bayesian(kinds[0], 4, 4, strides=2, padding="same", activation="relu", name="line_1"),
                bayesian(kinds[1], 5, 2, padding="valid", bias=True, activation="softplus", name="line_2"),
                keras.MaxPooling1D(3, 2, padding="same"),
                keras.ZeroPadding1D((1, 2)),
                plain("Conv1D", 4, 2, name="line_3"),
                keras.AveragePooling1D(2, 1, padding="same"),
                keras.GlobalAveragePooling1D(),
            ]
            self.dilated = [
                bayesian(kinds[0], 3, 3, dilation_rate=2, name="dilated_1"),
                bayesian(kinds[1], 3, 2, dilation_rate=3, padding="same", activation="relu", name="dilated_2"),
                keras.GlobalMaxPooling1D(),
            ]
            self.solid = [
                keras.Reshape((4, 3, 2, 2)),
                bayesian(kinds[2], 3, 2, strides=(1, 2, 1), padding="same", activation="relu", name="solid_1"),
                normalisation("norm"),
                keras.MaxPooling3D((2, 1, 1), 1),
                bayesian(kinds[3], 4, (2, 1, 2), padding="valid", bias=True, name="solid_2"),
                keras.AveragePooling3D((1, 2, 1), 1),
                keras.Flatten(),
            ]
            self.last = logits()

        def call(self, inputs: Any, training: bool = False) -> Any:
            parts = [chain(inputs, layers) for layers in (self.line, self.dilated, self.solid)]
            return self.last(0.5 * tf.concat(parts, 1))

    return EveryConv1D3D()


MODELS: dict[str, Callable[[], Any]] = {
    "every_activation": every_activation,
    "every_conv_2d": every_conv_2d,
    "every_conv_1d_3d": every_conv_1d_3d,
}
SHAPES = {"every_activation": (6,), "every_conv_2d": (11, 9, 3), "every_conv_1d_3d": (12, 4)}
