"""Another side of the benchmark: Monte-Carlo inference as one writes it in JAX, in one compiled loop.

A draw is one set of weights for all images, which costs less than Flipout: a plain and good way to do it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
from jax import lax
from jax import numpy as jnp
from networks import Trained

from bprune.arrays import AnyArray, BoolArray

__all__ = ["JaxLoop"]


class JaxLoop:
    """The mean of the class probabilities over draws, all draws in one call of one compiled function.

    Args:
        trained: The network; its Keras layers are read, and written again in JAX.
        inputs: `[example, ...]`; all of them are one batch.
    """

    def __init__(self, trained: Trained, inputs: AnyArray) -> None:
        self._trained = trained
        self._inputs = jnp.asarray(inputs)
        self._layers = [_layer(item) for item in trained.model.layers]
        self._run = jax.jit(self._mean_probabilities)
        self._calls = 0
        self.prune(None)

    def prune(self, masks: Mapping[str, BoolArray] | None) -> None:
        """Give the network its posteriors, with location and scale 0 where a weight is pruned."""
        self._posteriors: dict[str, tuple[Any, Any, Any]] = {}
        for name in self._layer_names():
            loc, scale, bias = (
                self._trained.posteriors[f"{name}/{part}"] for part in ("kernel_loc", "kernel_scale", "bias_loc")
            )
            kept = 1.0 if masks is None else masks[f"{name}/kernel"]
            parts = (np.asarray(item, np.float32) for item in (loc * kept, scale * kept, bias))
            self._posteriors[name] = tuple(map(jnp.asarray, parts))  # type: ignore[assignment]

    def _layer_names(self) -> list[str]:
        return [item.name for item in self._trained.model.layers if hasattr(item, "kernel_posterior")]

    def _probabilities(self, key: Any, inputs: Any, posteriors: Mapping[str, Any]) -> Any:
        weights = {}
        for number, (name, (loc, scale, bias)) in enumerate(posteriors.items()):
            noise = jax.random.normal(jax.random.fold_in(key, number), loc.shape)
            weights[name] = (loc + scale * noise, bias)
        x = inputs
        for run in self._layers:
            x = run(x, weights)
        return jax.nn.softmax(x)

    def _mean_probabilities(self, inputs: Any, posteriors: Mapping[str, Any], draws: Any, seed: Any) -> Any:
        keys = jax.random.key(seed)

        def add(number: Any, total: Any) -> Any:
            return total + self._probabilities(jax.random.fold_in(keys, number), inputs, posteriors)

        shape = jax.eval_shape(self._probabilities, keys, inputs, posteriors)
        return lax.fori_loop(0, draws, add, jnp.zeros(shape.shape, shape.dtype)) / draws

    def draw(self, draws: int) -> AnyArray:
        """Run draws and average them: `[example, class]`."""
        self._calls += 1
        return np.asarray(self._run(self._inputs, self._posteriors, draws, self._calls))


def _layer(layer: Any) -> Callable[[Any, Mapping[str, Any]], Any]:
    """A layer of a Keras model in JAX.

    Raises:
        ValueError: If it is of a kind that no network of the benchmark has.
    """
    kind = type(layer).__name__
    if kind == "Flatten":
        return lambda x, weights: x.reshape(len(x), -1)
    if kind == "MaxPooling2D":
        window = (1, *layer.pool_size, 1)
        return lambda x, weights: lax.reduce_window(x, -jnp.inf, lax.max, window, window, "VALID")
    activation: Any = jax.nn.relu if layer.activation.__name__ == "relu" else lambda x: x
    if kind == "DenseFlipout":
        return lambda x, weights: activation(x @ weights[layer.name][0] + weights[layer.name][1])
    if kind in {"Conv2DFlipout", "Convolution2DFlipout"}:
        padding = layer.padding.upper()

        def convolve(x: Any, weights: Mapping[str, Any]) -> Any:
            kernel, bias = weights[layer.name]
            numbers = ("NHWC", "HWIO", "NHWC")
            return activation(lax.conv_general_dilated(x, kernel, (1, 1), padding, dimension_numbers=numbers) + bias)

        return convolve
    raise ValueError(f"no layer {kind} in JAX")
