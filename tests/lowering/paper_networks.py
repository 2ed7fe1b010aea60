"""The networks of Sharma and Jennings (2020) as TFP models with deterministic random weights, and their cases.

BNN-FC and BNN-Conv follow Tables 5 and 6 of the paper's appendix; VGG-16 and ResNet-18 follow TFP's own examples, which
the paper trained on CIFAR-10. `width` scales the units of every hidden layer where the full network is slow.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bprune.arrays import AnyArray

__all__ = [
    "assign",
    "bnn_conv",
    "bnn_fc",
    "random_inputs",
    "randomise",
    "resnet_18",
    "untransformed",
    "vgg_16",
    "write",
]

CLASSES = 10


def bnn_fc(width: float = 1.0) -> Any:
    """784-256-256-10."""
    import tf_keras

    hidden = round(256 * width)
    return tf_keras.Sequential(
        [
            tf_keras.Input((784,)),
            _dense(hidden, "den_1", "relu"),
            _dense(hidden, "den_2", "relu"),
            _dense(CLASSES, "den_3"),
        ],
        name="bnn_fc",
    )


def bnn_conv(width: float = 1.0, side: int = 28) -> Any:
    """Two convolutions of 256 channels, a pooling between them, and a dense layer of 25,600 inputs."""
    import tf_keras

    channels = round(256 * width)
    return tf_keras.Sequential(
        [
            tf_keras.Input((side, side, 1)),
            _conv(channels, 5, "Conv_1", padding="same", activation="relu"),
            tf_keras.layers.MaxPooling2D(2),
            _conv(channels, 5, "Conv_2", padding="valid", activation="relu"),
            tf_keras.layers.Flatten(),
            _dense(CLASSES, "Dense_I_4"),
        ],
        name="bnn_conv",
    )


def vgg_16(width: float = 1.0) -> Any:
    """Five blocks of two convolutions, each with batch normalisation, and one dense layer."""
    import tf_keras

    layers = [tf_keras.Input((32, 32, 3))]
    for block, channels in enumerate((64, 128, 256, 512, 512), start=1):
        for number in (1, 2):
            name = f"conv_{block}_{number}"
            layers += [_conv(round(channels * width), 3, name), *_normalised(f"norm_{block}_{number}")]
        layers.append(tf_keras.layers.MaxPooling2D(2, strides=2))
    return tf_keras.Sequential([*layers, tf_keras.layers.Flatten(), _dense(CLASSES, "logits")], name="vgg_16")


def resnet_18(width: float = 1.0) -> Any:
    """Four pre-activated blocks of two convolutions, each beside a projection of 1 x 1."""
    import tf_keras

    image = tf_keras.Input((32, 32, 3))
    values = _conv(round(64 * width), 3, "stem")(image)
    for block, (channels, stride) in enumerate(((64, 1), (128, 2), (256, 2), (512, 2)), start=1):
        values = _resnet_block(values, round(channels * width), stride, str(block))
    values = _chain(values, _normalised("norm_last"))
    values = tf_keras.layers.AveragePooling2D(4, 1)(values)
    logits = _dense(CLASSES, "logits")(tf_keras.layers.Flatten()(values))
    return tf_keras.Model(image, logits, name="resnet_18")


def _resnet_block(values: Any, channels: int, stride: int, block: str) -> Any:
    """The branch of two convolutions plus the projection; both read the normalised values."""
    import tf_keras

    values = _chain(values, _normalised(f"norm_{block}_1"))
    shortcut = _conv(channels, 1, f"project_{block}", strides=stride, padding="valid")(values)
    values = _conv(channels, 3, f"conv_{block}_1", strides=stride)(values)
    values = _chain(values, _normalised(f"norm_{block}_2"))
    values = _conv(channels, 3, f"conv_{block}_2")(values)
    return tf_keras.layers.add([values, shortcut])


def _dense(units: int, name: str, activation: str | None = None) -> Any:
    import tensorflow_probability as tfp

    return tfp.layers.DenseFlipout(units, activation=activation, name=name, **_cheap())


def _conv(channels: int, size: int, name: str, padding: str = "same", **options: Any) -> Any:
    import tensorflow_probability as tfp

    return tfp.layers.Convolution2DFlipout(channels, size, padding=padding, name=name, **options, **_cheap())


def _cheap() -> dict[str, Any]:
    """Zeros at first, because `randomise` sets everything; no divergence, because nothing is trained."""
    import tensorflow_probability as tfp

    zeros = tfp.layers.default_mean_field_normal_fn(
        loc_initializer=_zeros(), untransformed_scale_initializer=_zeros(), is_singular=False
    )
    return {"kernel_posterior_fn": zeros, "kernel_divergence_fn": None}


def _zeros() -> Any:
    import tf_keras

    return tf_keras.initializers.Zeros()


def _normalised(name: str) -> list[Any]:
    import tf_keras

    return [tf_keras.layers.BatchNormalization(name=name), tf_keras.layers.Activation("relu")]


def _chain(values: Any, layers: Sequence[Any]) -> Any:
    for layer in layers:
        values = layer(values)
    return values


def randomise(model: Any, *, untransformed_scale: float = -9.0, seed: int = 0) -> Any:
    """Give every variable random values that depend on its place and the seed alone; nothing is symmetric around 0.

    Units differ in their size, so that a threshold empties the weak ones and leaves the strong ones whole. Some batch
    normalisations have a negative gain.

    Args:
        model: The model.
        untransformed_scale: Mean of the untransformed scales; the paper's networks start at -9.
        seed: Seed.
    """
    for number, variable in enumerate(model.variables):
        generator = np.random.default_rng([seed, number])
        kind = variable.name.split("/")[-1].removesuffix(":0")
        variable.assign(_values(kind, tuple(variable.shape), generator, untransformed_scale).astype(np.float32))
    return model


def _values(kind: str, shape: tuple[int, ...], generator: np.random.Generator, scale: float) -> AnyArray:
    if kind.endswith("untransformed_scale"):
        return generator.normal(scale, 0.1, shape)
    if kind in {"gamma", "moving_variance"}:
        size = generator.uniform(0.5, 2.0, shape)
        return size if kind == "moving_variance" else np.where(generator.random(shape) < 0.2, -size, size)
    if len(shape) < 2:  # biases, beta, moving mean
        return generator.normal(0.1, 0.2, shape)
    strength = np.exp(generator.normal(0.0, 1.0, shape[-1:]))
    deviation = np.sqrt(1.0 / np.prod(shape[:-1])) * strength / np.sqrt(np.mean(np.square(strength)))
    return np.asarray(generator.normal(0.0, 1.0, shape) * deviation)


def assign(model: Any, posteriors: Mapping[str, AnyArray]) -> None:
    """Give the Bayesian layers posteriors: `<layer>/kernel_loc`, `<layer>/kernel_scale`, `<layer>/bias_loc`."""
    for layer in model.layers:
        if not hasattr(layer, "kernel_posterior"):
            continue
        values = {
            "kernel_posterior_loc": posteriors[f"{layer.name}/kernel_loc"],
            "kernel_posterior_untransformed_scale": untransformed(posteriors[f"{layer.name}/kernel_scale"]),
            "bias_posterior_loc": posteriors[f"{layer.name}/bias_loc"],
        }
        for variable in layer.variables:
            variable.assign(values[variable.name.split("/")[-1].removesuffix(":0")].astype(np.float32))


def untransformed(scale: AnyArray) -> AnyArray:
    """The variable from which TFP's layers make a scale, float32: the inverse of epsilon + softplus."""
    inverse = np.log(np.expm1(scale.astype(np.float64) - np.finfo(np.float32).eps))
    return np.asarray(inverse, np.float32)


def random_inputs(model: Any, examples: int, seed: int = 1) -> AnyArray:
    """Random inputs in [-1, 2], `[example, ...]`, float32."""
    shape = (examples, *model.input_shape[1:])
    return np.random.default_rng(seed).uniform(-1.0, 2.0, shape).astype(np.float32)


def write(folder: Path, model: Any, inputs: AnyArray | None = None) -> Path:
    """The model as a case, with held-out inputs: those given, or random ones."""
    from bprune.training import write_case

    inputs = random_inputs(model, 4) if inputs is None else inputs
    labels = np.arange(len(inputs)) % 4
    write_case(folder, model, iteration=7, task="classification", heldout=(inputs, labels))
    return folder
