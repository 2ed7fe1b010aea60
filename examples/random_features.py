"""Deep Gaussian processes with random Fourier features, as Keras models of TFP's layers.

A GP with an RBF kernel is approximated by F' = Phi W with Phi = sqrt(sigma^2 / N) [cos(F Omega), sin(F Omega)]. The
prior of the frequencies Omega has the lengthscales, that of the weights W is standard normal (Cutajar, Bonilla,
Michiardi and Filippone, 2017, "Random feature expansions for deep Gaussian processes", ICML).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf
import tensorflow_probability as tfp
import tf_keras

Floats = npt.NDArray[np.float32]

FREQUENCIES = {
    "prior-fixed": "drawn once from the prior and kept; their lengthscales are learned",
    "var-fixed": "a Gaussian posterior whose noise is drawn once and kept",
    "var-resampled": "a Gaussian posterior with new noise in every step: a Bayesian layer, which can be pruned",
}


@dataclass(frozen=True)
class Design:
    """The shape of a deep GP and how its frequencies are treated.

    Attributes:
        layers: GP layers, the last of which gives the output.
        features: Frequencies per layer; each gives a cosine and a sine.
        gps: GPs of each layer but the last.
        frequencies: One of `FREQUENCIES`.
        feed_forward: Whether every layer sees the inputs beside the layer before (Duvenaud et al., 2014).
        lengthscale: The kernels' first lengthscale in units of the square root of the number of inputs.
        initial_noise: First standard deviation of the frequencies' posterior, relative to the prior's.
        share: Weight of the KL divergence: 1 / training examples for the evidence lower bound per example.
    """

    layers: int = 2
    features: int = 500
    gps: int = 50
    frequencies: str = "var-resampled"
    feed_forward: bool = True
    lengthscale: float = 1.0
    initial_noise: float = 0.1
    share: float = 1.0


def prior_fn(design: Design) -> Any:
    """The prior of Omega as TFP's layers take it: normal, with 1 / lengthscale as standard deviation."""

    def make(dtype: Any, shape: Any, name: str, trainable: bool, add_variable_fn: Any) -> Any:
        initial = tf_keras.initializers.Constant(-math.log(design.lengthscale * math.sqrt(shape[0])))
        log_scale = add_variable_fn(
            name=f"{name}_log_scale", shape=[shape[0], 1], initializer=initial, dtype=dtype, trainable=trainable
        )
        scale = tfp.util.DeferredTensor(log_scale, lambda value: tf.exp(value) + tf.zeros(shape, dtype), shape=shape)
        return tfp.distributions.Independent(tfp.distributions.Normal(tf.zeros(shape, dtype), scale), 2)

    return make


def posterior_fn(design: Design) -> Any:
    """The posterior of Omega: means like a draw of the prior, and small standard deviations."""

    def make(*arguments: Any) -> Any:
        deviation = 1.0 / (design.lengthscale * math.sqrt(arguments[1][0]))
        noise = math.log(math.expm1(design.initial_noise * deviation))
        return tfp.layers.default_mean_field_normal_fn(
            loc_initializer=tf_keras.initializers.RandomNormal(stddev=deviation),
            untransformed_scale_initializer=tf_keras.initializers.RandomNormal(noise, 0.1),
        )(*arguments)

    return make


class KeptFrequencies(tf_keras.layers.Layer):  # type: ignore[misc]
    """F Omega, where the noise z of Omega was drawn once: z / lengthscale, or loc + scale z with a KL divergence.

    Args:
        design: With the frequencies prior-fixed or var-fixed.
        name: The layer's name.
    """

    def __init__(self, design: Design, name: str) -> None:
        super().__init__(name=name)
        self._design = design

    def build(self, shape: Any) -> None:
        """Make the variables."""
        design, inputs = self._design, int(shape[-1])
        size = [inputs, design.features]
        deviation = 1.0 / (design.lengthscale * math.sqrt(inputs))
        add, normal, constant = self.add_weight, tf_keras.initializers.RandomNormal, tf_keras.initializers.Constant
        self.noise = add(name="noise", shape=size, initializer=normal(stddev=1.0), trainable=False)
        self.log_scale = add(name="prior_log_scale", shape=[inputs, 1], initializer=constant(math.log(deviation)))
        if design.frequencies == "var-fixed":
            noise = math.log(math.expm1(deviation))
            self.loc = add(name="loc", shape=size, initializer="zeros")
            self.untransformed_scale = add(name="untransformed_scale", shape=size, initializer=constant(noise))
        super().build(shape)

    def call(self, inputs: Any) -> Any:
        """The projections `[example, frequency]`."""
        prior = tf.exp(self.log_scale)
        if self._design.frequencies == "prior-fixed":
            return inputs @ (self.noise * prior)
        scale = tf.nn.softplus(self.untransformed_scale)
        normal = tfp.distributions.Normal
        divergence = tfp.distributions.kl_divergence(normal(self.loc, scale), normal(0.0, prior))
        self.add_loss(tf.reduce_sum(divergence) * self._design.share)
        return inputs @ (self.loc + scale * self.noise)


class FourierFeatures(tf_keras.layers.Layer):  # type: ignore[misc]
    """sqrt(sigma^2 / N) [cos(x), sin(x)] of N projections x, with a trainable sigma, the kernel's amplitude."""

    def build(self, shape: Any) -> None:
        """Make the variable."""
        self.log_amplitude = self.add_weight(name="log_amplitude", shape=[], initializer="zeros")
        super().build(shape)

    def call(self, projections: Any) -> Any:
        """The features `[example, 2 N]`."""
        factor = tf.exp(self.log_amplitude) / math.sqrt(int(projections.shape[-1]))
        return factor * tf.concat([tf.cos(projections), tf.sin(projections)], axis=-1)


class GaussianNoise(tf_keras.layers.Layer):  # type: ignore[misc]
    """Predictions in the unit of the targets, and behind them the standard deviation of the noise, which is learned.

    Args:
        targets: Training targets `[example, output]`, which give the unit.
    """

    def __init__(self, targets: Floats) -> None:
        super().__init__(name="noise")
        self._centre, self._spread = targets.mean(0), targets.std(0)

    def build(self, shape: Any) -> None:
        """Make the variable."""
        initial = tf_keras.initializers.Constant(math.log(math.expm1(0.3)))
        self.untransformed_scale = self.add_weight(name="untransformed_scale", shape=[shape[-1]], initializer=initial)
        super().build(shape)

    def call(self, outputs: Any) -> Any:
        """Mean and standard deviation, `[example, 2 output]`."""
        scale = (1e-3 + tf.nn.softplus(self.untransformed_scale)) * self._spread
        return tf.concat([outputs * self._spread + self._centre, tf.zeros_like(outputs) + scale], axis=-1)


def build(inputs: int, outputs: int, design: Design, targets: Floats | None = None) -> Any:
    """The deep GP as a Keras model; KL divergences are added losses.

    Args:
        inputs: Number of inputs.
        outputs: Number of classes, or of numbers to predict.
        design: Its shape.
        targets: Training targets `[example, output]` of a regression, which outputs a normal distribution; None for
            logits of classes.
    """
    divergence = {"kernel_divergence_fn": lambda q, p, _: tfp.distributions.kl_divergence(q, p) * design.share}
    without_bias = {**divergence, "bias_posterior_fn": None}
    source = tf_keras.Input([inputs])
    x = source
    for number in range(1, design.layers + 1):
        if design.frequencies == "var-resampled":
            frequencies = tfp.layers.DenseFlipout(
                design.features,
                kernel_posterior_fn=posterior_fn(design),
                kernel_prior_fn=prior_fn(design),
                name=f"omega_{number}",
                **without_bias,
            )
        else:
            frequencies = KeptFrequencies(design, f"omega_{number}")
        features = FourierFeatures(name=f"features_{number}")(frequencies(x))
        is_last = number == design.layers
        x = tfp.layers.DenseFlipout(outputs if is_last else design.gps, name=f"gp_{number}", **without_bias)(features)
        if design.feed_forward and not is_last:
            x = tf_keras.layers.Concatenate(name=f"forward_{number}")([x, source])
    if targets is not None:
        x = tfp.layers.DistributionLambda(
            lambda t: tfp.distributions.Normal(t[..., :outputs], t[..., outputs:]), name="likelihood"
        )(GaussianNoise(targets)(x))
    return tf_keras.Model(source, x, name="dgp")
