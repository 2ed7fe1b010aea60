"""Small networks with known values, written as cases: what most tests look at."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from bprune.arrays import AnyArray

__all__ = ["INPUTS", "mixed_model", "variational_model", "write_mixed_case", "write_variational_case"]

INPUTS = np.linspace(-1.0, 2.0, 4 * 6, dtype=np.float32).reshape(4, 6)
"""Four examples of six features, all different."""


def posterior_fn(family: str) -> Any:
    """A TFP posterior function of a family, with TFP's names and scale."""
    import tensorflow as tf
    import tensorflow_probability as tfp
    import tf_keras

    def make(dtype: Any, shape: Any, name: str, trainable: bool, add_variable_fn: Any) -> Any:
        def add(suffix: str, mean: float) -> Any:
            return add_variable_fn(
                name=name + suffix,
                shape=shape,
                initializer=tf_keras.initializers.RandomNormal(mean=mean, stddev=0.5, seed=len(name + suffix)),
                dtype=dtype,
                trainable=trainable,
            )

        loc, untransformed = add("_loc", 0.0), add("_untransformed_scale", -1.5)
        epsilon = np.finfo(dtype.as_numpy_dtype).eps
        scale = tfp.util.DeferredTensor(untransformed, lambda value: epsilon + tf.nn.softplus(value))
        distribution = getattr(tfp.distributions, family)(loc=loc, scale=scale)
        return tfp.distributions.Independent(distribution, reinterpreted_batch_ndims=len(shape))

    return make


def mixed_model() -> Any:
    """A classifier with one layer of every family and estimator, batch norm, and a Bayesian bias."""
    import tensorflow_probability as tfp
    import tf_keras

    layers = tfp.layers
    model = tf_keras.Sequential(
        [
            tf_keras.Input((6,)),
            layers.DenseFlipout(8, activation="tanh", name="flip", kernel_posterior_fn=posterior_fn("Normal")),
            tf_keras.layers.BatchNormalization(name="norm"),
            layers.DenseReparameterization(
                7,
                activation="relu",
                name="laplace",
                kernel_posterior_fn=posterior_fn("Laplace"),
                kernel_divergence_fn=None,
            ),
            layers.DenseReparameterization(
                5,
                name="lognormal",
                kernel_posterior_fn=posterior_fn("LogNormal"),
                bias_posterior_fn=posterior_fn("Normal"),
                kernel_divergence_fn=None,
                bias_divergence_fn=None,
            ),
            layers.DenseLocalReparameterization(3, name="local", kernel_posterior_fn=posterior_fn("Normal")),
        ]
    )
    generator = np.random.default_rng(4)
    for variable in model.get_layer("norm").variables:
        variable.assign(np.abs(generator.normal(1.0, 0.3, variable.shape)).astype(np.float32))
    return model


def write_mixed_case(folder: Path) -> Path:
    """The mixed model as a case with held-out data."""
    from bprune.training import write_case

    labels = np.array([0, 2, 1, 2])
    write_case(folder, mixed_model(), iteration=10, task="classification", heldout=(INPUTS, labels))
    return folder


def variational_model() -> Any:
    """A regression of DenseVariational layers in the form of TFP's tutorials, with a predicted noise."""
    import tensorflow as tf
    import tensorflow_probability as tfp
    import tf_keras

    from tests.training.worlds import posterior_mean_field, prior_trainable

    layers = tfp.layers
    return tf_keras.Sequential(
        [
            tf_keras.Input((6,)),
            layers.DenseVariational(4, posterior_mean_field, prior_trainable, activation="relu", name="first"),
            layers.DenseVariational(2, posterior_mean_field, prior_trainable, use_bias=False, name="second"),
            layers.DistributionLambda(
                lambda t: tfp.distributions.Normal(loc=t[..., :1], scale=1e-3 + tf.nn.softplus(t[..., 1:])),
                name="noise",
            ),
        ]
    )


def write_variational_case(folder: Path) -> Path:
    """The variational model as a case with held-out data."""
    from bprune.training import write_case

    targets: AnyArray = INPUTS.sum(1, keepdims=True)
    write_case(folder, variational_model(), iteration=3, heldout=(INPUTS, targets))
    return folder
