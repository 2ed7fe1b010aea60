"""Train a Bayesian regression whose noise depends on the input, on data with a gap; the Keras callback writes the case.

Between the two clouds of training points the draws disagree: there the epistemic uncertainty grows, not the aleatoric.

Example:
  python examples/regression.py --out runs/regression_1d
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf
import tensorflow_probability as tfp
import tf_keras

from bprune.training import BPruneCallback

Floats = npt.NDArray[np.float32]

EXAMPLES = 800
GAP = (0.0, 0.8)
"""The training inputs lie in [-1, 1] without this interval; the held-out inputs lie in it too."""


def sample(inputs: npt.NDArray[np.float64], rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Inputs and noisy targets, both `[example, 1]`; the noise has a standard deviation of 0.05 to 0.25."""
    noise = 0.15 - 0.1 * inputs
    targets = np.sin(3.0 * inputs) + 0.5 * inputs + noise * rng.standard_normal(inputs.shape)
    return inputs[:, None].astype(np.float32), targets[:, None].astype(np.float32)


def training_set() -> tuple[Floats, Floats]:
    """Random inputs on both sides of the gap."""
    rng = np.random.default_rng(0)
    inputs = rng.uniform(-1.0, 1.0 - (GAP[1] - GAP[0]), EXAMPLES)
    return sample(np.where(inputs > GAP[0], inputs + GAP[1] - GAP[0], inputs), rng)


def heldout_set() -> tuple[Floats, Floats]:
    """Inputs from -1 to 1 in even steps."""
    return sample(np.linspace(-1.0, 1.0, 360, dtype=np.float64), np.random.default_rng(1))


def mean_field(kernel_size: int, bias_size: int = 0, dtype: Any = None) -> Any:
    """The posterior of a DenseVariational layer: independent normals, all their parameters in one variable."""
    size = kernel_size + bias_size

    def initial(shape: Any, dtype: Any = None) -> Any:
        return tf.concat([tf.random.normal([size], stddev=0.2), tf.random.normal([size], -5.0, 0.1)], axis=0)

    def normals(parameters: Any) -> Any:
        scale = 1e-5 + tf.nn.softplus(parameters[size:])
        return tfp.distributions.Independent(tfp.distributions.Normal(parameters[:size], scale), 1)

    return tf_keras.Sequential(
        [
            tfp.layers.VariableLayer(2 * size, dtype=dtype, initializer=initial),
            tfp.layers.DistributionLambda(normals),
        ]
    )


def standard_normal(kernel_size: int, bias_size: int = 0, dtype: Any = None) -> Any:
    """The prior of a DenseVariational layer."""
    zeros = tf.zeros(kernel_size + bias_size, dtype)
    normals = tfp.distributions.Independent(tfp.distributions.Normal(zeros, 1.0), 1)
    return tf_keras.Sequential([tfp.layers.DistributionLambda(lambda _: normals)])


def places(count: int = 20, sharpness: float = 36.0) -> Any:
    """A frozen deterministic layer that tells places on the input axis apart: normalised radial basis functions.

    Weights behind a place without data are left as the prior has them. Without this layer a mean-field posterior would
    be nearly as sure in the gap as beside it (Foong et al., 2020, "On the expressiveness of approximate inference in
    Bayesian neural networks").
    """
    centres = np.linspace(-1.0, 1.0, count)
    kernel, bias = sharpness * centres[None, :], -0.5 * sharpness * centres**2
    return tf_keras.layers.Dense(count, "softmax", trainable=False, weights=[kernel, bias], name="places")


def build(kl_weight: float) -> Any:
    """Three kinds of Bayesian layers; the last column of the output gives the scale of the noise."""
    share = kl_weight / EXAMPLES
    bayesian = {"kernel_divergence_fn": lambda q, p, _: tfp.distributions.kl_divergence(q, p) * share}
    packed = {"make_posterior_fn": mean_field, "make_prior_fn": standard_normal, "kl_weight": share}

    def noise_model(outputs: Any) -> Any:
        return tfp.distributions.Normal(outputs[..., :1], 1e-3 + tf.nn.softplus(outputs[..., 1:]))

    layers = [
        places(),
        tfp.layers.DenseReparameterization(32, activation="tanh", name="den_1", **bayesian),
        tfp.layers.DenseVariational(32, activation="tanh", name="den_2", **packed),
        tfp.layers.DenseFlipout(2, name="den_3", **bayesian),
        tfp.layers.DistributionLambda(noise_model, name="noise"),
    ]
    return tf_keras.Sequential([tf_keras.Input([1]), *layers], name="regression_1d")


def main() -> None:
    """Train, write the case, and say what to do with it."""
    parser = argparse.ArgumentParser(description="Train a Bayesian regression on one input.")
    parser.add_argument("--out", type=Path, default=Path("runs/regression_1d"), help="the case directory")
    parser.add_argument("--epochs", type=int, default=600)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kl-weight", type=float, default=0.3, help="1 is the evidence lower bound (default: 0.3)")
    parser.add_argument("--short", action="store_true", help="two epochs only, to see that everything works")
    options = parser.parse_args()
    epochs = 2 if options.short else options.epochs
    tf_keras.utils.set_random_seed(options.seed)
    inputs, targets = training_set()
    model = build(options.kl_weight)
    rate = tf_keras.optimizers.schedules.CosineDecay(1e-2, epochs * EXAMPLES // 100, alpha=1e-2)
    model.compile(optimizer=tf_keras.optimizers.Adam(rate), loss=lambda y, q: -q.log_prob(y))
    callback = BPruneCallback(options.out, keep=1, heldout=heldout_set())
    model.fit(inputs, targets, batch_size=100, epochs=epochs, callbacks=[callback], verbose=2)
    print(f"bprune inspect --case-dir {options.out}\nbprune prune --case-dir {options.out} --sparsity 0.8")


if __name__ == "__main__":
    main()
