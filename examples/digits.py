"""Train a Bayesian network on scikit-learn's handwritten digits; the Keras callback writes the case.

Example:
  python examples/digits.py --network conv --out runs/digits_conv
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow_probability as tfp
import tf_keras
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

BATCH = 100


@dataclass(frozen=True)
class Digits:
    """1,797 images of 8 x 8 pixels in [0, 1], split once and for all: 80 % for training, stratified by class.

    Attributes:
        x_train: `[example, 8, 8, 1]`, float32.
        y_train: `[example]`, int64, the digit.
        x_test: Held-out images.
        y_test: Held-out labels.
    """

    x_train: npt.NDArray[np.float32]
    y_train: npt.NDArray[np.int64]
    x_test: npt.NDArray[np.float32]
    y_test: npt.NDArray[np.int64]


def load() -> Digits:
    """The digits with the pixels divided by 16, their largest value."""
    images, labels = load_digits(return_X_y=True)
    pixels = (images / 16.0).astype(np.float32).reshape(-1, 8, 8, 1)
    x_train, x_test, y_train, y_test = train_test_split(
        pixels, labels.astype(np.int64), test_size=0.2, stratify=labels, random_state=0
    )
    return Digits(x_train, y_train, x_test, y_test)


def build(network: str, examples: int, kl_weight: float, initial_scale: float) -> Any:
    """A network that outputs logits; every layer adds `kl_weight / examples` times its KL divergence to the loss.

    Args:
        network: "fc" for three dense layers, "conv" for a small version of the paper's BNN-Conv.
        examples: Size of the training set, over which the KL divergence is shared out.
        kl_weight: 1 is the evidence lower bound; smaller values temper the posterior (a larger SNR).
        initial_scale: Where the untransformed scales begin; -3 is TFP's default, a weight's sigma is softplus of it.
    """
    layers = tfp.layers
    common = {
        "kernel_posterior_fn": layers.default_mean_field_normal_fn(
            untransformed_scale_initializer=tf_keras.initializers.RandomNormal(mean=initial_scale, stddev=0.1)
        ),
        "kernel_divergence_fn": lambda q, p, _: tfp.distributions.kl_divergence(q, p) * (kl_weight / examples),
    }
    if network == "fc":
        hidden = [
            tf_keras.layers.Flatten(),
            layers.DenseFlipout(64, activation="relu", name="den_1", **common),
            layers.DenseFlipout(64, activation="relu", name="den_2", **common),
            layers.DenseFlipout(10, name="den_3", **common),
        ]
    else:
        hidden = [
            layers.Convolution2DFlipout(16, 3, padding="same", activation="relu", name="conv_1", **common),
            tf_keras.layers.MaxPooling2D(2),
            layers.Convolution2DFlipout(32, 3, padding="same", activation="relu", name="conv_2", **common),
            tf_keras.layers.MaxPooling2D(2),
            tf_keras.layers.Flatten(),
            layers.DenseFlipout(10, name="den_1", **common),
        ]
    return tf_keras.Sequential([tf_keras.Input([8, 8, 1]), *hidden], name=f"digits_{network}")
