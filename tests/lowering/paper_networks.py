"""The networks of `examples/paper` with deterministic random weights, or posteriors from elsewhere, and their cases."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bprune.arrays import AnyArray
from examples.paper import networks

__all__ = ["assign", "build", "random_inputs", "randomise", "untransformed", "write"]


@dataclass(frozen=True)
class _Blank:
    """Flipout layers of zeros, which `randomise` sets; without a divergence, because nothing is trained."""

    def dense(self, units: int, name: str, activation: str | None = None) -> Any:
        import tensorflow_probability as tfp

        return tfp.layers.DenseFlipout(units, activation=activation, name=name, **_zeros())

    def conv(self, channels: int, size: int, name: str, padding: str = "same", **options: Any) -> Any:
        import tensorflow_probability as tfp

        return tfp.layers.Convolution2DFlipout(channels, size, padding=padding, name=name, **options, **_zeros())


def _zeros() -> dict[str, Any]:
    import tensorflow_probability as tfp
    import tf_keras

    zeros = tf_keras.initializers.Zeros()
    posterior = tfp.layers.default_mean_field_normal_fn(
        loc_initializer=zeros, untransformed_scale_initializer=zeros, is_singular=False
    )
    return {"kernel_posterior_fn": posterior, "kernel_divergence_fn": None}


def build(name: str, width: float = 1.0) -> Any:
    """A network of the paper that costs nothing to make; `width` scales the units of every hidden layer."""
    return networks.build(name, _Blank(), width)


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
