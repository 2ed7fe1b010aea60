"""The networks of Sharma and Jennings (2020), Bayesian or deterministic, with the paper's numbers of parameters.

BNN-FC and BNN-Conv follow Tables 5 and 6 of the paper's appendix; VGG-16 and ResNet-18 follow TensorFlow Probability's
own examples, which the paper trained on CIFAR-10. A network is built from a `Layers`, which says what a layer is:
Flipout layers with a mean-field posterior and the prior N(0, 1), or Keras' plain ones.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

__all__ = ["CLASSES", "INPUT_SHAPES", "NETWORKS", "BayesianLayers", "DeterministicLayers", "Layers", "build"]

CLASSES = 10


class Layers(Protocol):
    """What the layers of a network are."""

    def dense(self, units: int, name: str, activation: str | None = None) -> Any:
        """A dense layer with a bias."""

    def conv(self, channels: int, size: int, name: str, padding: str = "same", **options: Any) -> Any:
        """A convolution of `size` x `size` pixels with a bias."""


@dataclass(frozen=True)
class BayesianLayers:
    """Flipout layers; each adds `divergence_weight` times its KL divergence from N(0, 1) to the loss.

    Args:
        divergence_weight: beta / N with N the size of the whole training set: a number or a scalar tf.Variable.
        scale_mean: Mean of the initial untransformed scales; their standard deviation is 0.1.
        seed: Seed of the initial values.
    """

    divergence_weight: Any
    scale_mean: float = -3.0
    seed: int = 0

    def dense(self, units: int, name: str, activation: str | None = None) -> Any:
        """A DenseFlipout."""
        import tensorflow_probability as tfp

        return tfp.layers.DenseFlipout(units, activation=activation, name=name, **self._posterior(name))

    def conv(self, channels: int, size: int, name: str, padding: str = "same", **options: Any) -> Any:
        """A Convolution2DFlipout."""
        import tensorflow_probability as tfp

        return tfp.layers.Convolution2DFlipout(
            channels, size, padding=padding, name=name, **options, **self._posterior(name)
        )

    def _posterior(self, name: str) -> dict[str, Any]:
        import tensorflow_probability as tfp
        from tf_keras.initializers import RandomNormal

        seeds = _seeds(self.seed, name, 2)
        weight = self.divergence_weight
        return {
            "kernel_posterior_fn": tfp.layers.default_mean_field_normal_fn(
                loc_initializer=RandomNormal(stddev=0.1, seed=seeds[0]),
                untransformed_scale_initializer=RandomNormal(mean=self.scale_mean, stddev=0.1, seed=seeds[1]),
            ),
            "kernel_divergence_fn": lambda q, p, _: tfp.distributions.kl_divergence(q, p) * weight,
        }


@dataclass(frozen=True)
class DeterministicLayers:
    """Keras' own layers: the CNN beside a Bayesian network.

    Args:
        seed: Seed of the initial values.
    """

    seed: int = 0

    def dense(self, units: int, name: str, activation: str | None = None) -> Any:
        """A Dense."""
        import tf_keras

        return tf_keras.layers.Dense(units, activation=activation, name=name, kernel_initializer=self._kernel(name))

    def conv(self, channels: int, size: int, name: str, padding: str = "same", **options: Any) -> Any:
        """A Conv2D."""
        import tf_keras

        kernel = self._kernel(name)
        return tf_keras.layers.Conv2D(channels, size, padding=padding, name=name, kernel_initializer=kernel, **options)

    def _kernel(self, name: str) -> Any:
        from tf_keras.initializers import GlorotUniform

        return GlorotUniform(seed=_seeds(self.seed, name, 1)[0])


def _seeds(seed: int, name: str, count: int) -> list[int]:
    """Seeds that depend on the network's seed and the layer's name alone."""
    state = np.random.SeedSequence([seed, zlib.crc32(name.encode())]).generate_state(count)
    return [int(item >> 1) for item in state]


def bnn_fc(layers: Layers, width: float) -> Any:
    """784-256-256-10."""
    import tf_keras

    hidden = round(256 * width)
    return tf_keras.Sequential(
        [
            tf_keras.Input(INPUT_SHAPES["bnn_fc"]),
            layers.dense(hidden, "den_1", "relu"),
            layers.dense(hidden, "den_2", "relu"),
            layers.dense(CLASSES, "den_3"),
        ],
        name="bnn_fc",
    )


def bnn_conv(layers: Layers, width: float) -> Any:
    """Two convolutions of 256 channels, a pooling between them, and a dense layer of 25,600 inputs."""
    import tf_keras

    channels = round(256 * width)
    return tf_keras.Sequential(
        [
            tf_keras.Input(INPUT_SHAPES["bnn_conv"]),
            layers.conv(channels, 5, "Conv_1", padding="same", activation="relu"),
            tf_keras.layers.MaxPooling2D(2),
            layers.conv(channels, 5, "Conv_2", padding="valid", activation="relu"),
            tf_keras.layers.Flatten(),
            layers.dense(CLASSES, "Dense_I_4"),
        ],
        name="bnn_conv",
    )


def vgg16(layers: Layers, width: float) -> Any:
    """Five blocks of two convolutions, each with batch normalisation, and one dense layer."""
    import tf_keras

    stack = [tf_keras.Input(INPUT_SHAPES["vgg16"])]
    for block, channels in enumerate((64, 128, 256, 512, 512), start=1):
        for number in (1, 2):
            convolution = layers.conv(round(channels * width), 3, f"conv_{block}_{number}")
            stack += [convolution, *_normalised(f"norm_{block}_{number}")]
        stack.append(tf_keras.layers.MaxPooling2D(2, strides=2))
    return tf_keras.Sequential([*stack, tf_keras.layers.Flatten(), layers.dense(CLASSES, "logits")], name="vgg16")


def resnet18(layers: Layers, width: float) -> Any:
    """Four pre-activated blocks of two convolutions, each beside a projection of 1 x 1."""
    import tf_keras

    image = tf_keras.Input(INPUT_SHAPES["resnet18"])
    values = layers.conv(round(64 * width), 3, "stem")(image)
    for block, (channels, stride) in enumerate(((64, 1), (128, 2), (256, 2), (512, 2)), start=1):
        values = _resnet_block(layers, values, round(channels * width), stride, str(block))
    values = _chain(values, _normalised("norm_last"))
    values = tf_keras.layers.AveragePooling2D(4, 1)(values)
    logits = layers.dense(CLASSES, "logits")(tf_keras.layers.Flatten()(values))
    return tf_keras.Model(image, logits, name="resnet18")


def _resnet_block(layers: Layers, values: Any, channels: int, stride: int, block: str) -> Any:
    """The branch of two convolutions plus the projection; both read the normalised values."""
    import tf_keras

    values = _chain(values, _normalised(f"norm_{block}_1"))
    shortcut = layers.conv(channels, 1, f"project_{block}", strides=stride, padding="valid")(values)
    values = layers.conv(channels, 3, f"conv_{block}_1", strides=stride)(values)
    values = _chain(values, _normalised(f"norm_{block}_2"))
    values = layers.conv(channels, 3, f"conv_{block}_2")(values)
    return tf_keras.layers.add([values, shortcut])


def _normalised(name: str) -> list[Any]:
    import tf_keras

    return [tf_keras.layers.BatchNormalization(name=name), tf_keras.layers.Activation("relu")]


def _chain(values: Any, layers: Sequence[Any]) -> Any:
    for layer in layers:
        values = layer(values)
    return values


INPUT_SHAPES = {"vgg16": (32, 32, 3), "resnet18": (32, 32, 3), "bnn_conv": (28, 28, 1), "bnn_fc": (784,)}
"""What a network takes, without the example axis."""

NETWORKS: dict[str, Callable[[Layers, float], Any]] = {
    "vgg16": vgg16,
    "resnet18": resnet18,
    "bnn_conv": bnn_conv,
    "bnn_fc": bnn_fc,
}


def build(name: str, layers: Layers, width: float = 1.0) -> Any:
    """A network whose output is the logits of ten classes.

    Args:
        name: One of `NETWORKS`.
        layers: What its layers are.
        width: Factor of the units of every hidden layer; 1 is the paper's network.

    Returns:
        A tf_keras model, not compiled.
    """
    return NETWORKS[name](layers, width)
