"""Another side of the benchmark: Monte-Carlo inference as one writes it in PyTorch, in a loop in inference mode.

A draw is one set of weights for all images, which costs less than Flipout: a plain and good way to do it. The loop is
not compiled: torch.compile needs a C++ compiler, and what takes the time here are random numbers and products.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from networks import Trained
from torch.nn import functional

from bprune.arrays import AnyArray, BoolArray

__all__ = ["TorchLoop"]


class TorchLoop:
    """The mean of the class probabilities over draws.

    Args:
        trained: The network; its Keras layers are read, and written again in PyTorch.
        inputs: `[example, ...]`; all of them are one batch.
    """

    def __init__(self, trained: Trained, inputs: AnyArray) -> None:
        self._trained = trained
        self._inputs = torch.from_numpy(np.ascontiguousarray(inputs, np.float32))
        self._layers = [_layer(item) for item in trained.model.layers]
        self._noise = torch.Generator()
        self.prune(None)

    def prune(self, masks: Mapping[str, BoolArray] | None) -> None:
        """Give the network its posteriors, with location and scale 0 where a weight is pruned."""
        self._posteriors: dict[str, tuple[Any, Any, Any]] = {}
        for layer in self._trained.model.layers:
            if not hasattr(layer, "kernel_posterior"):
                continue
            loc, scale, bias = (
                self._trained.posteriors[f"{layer.name}/{part}"] for part in ("kernel_loc", "kernel_scale", "bias_loc")
            )
            kept = 1.0 if masks is None else masks[f"{layer.name}/kernel"]
            loc, scale = (_torch_order(np.asarray(item * kept, np.float32)) for item in (loc, scale))
            self._posteriors[layer.name] = (loc, scale, torch.from_numpy(np.array(bias, np.float32)))

    def draw(self, draws: int) -> AnyArray:
        """Run draws and average them: `[example, class]`."""
        with torch.inference_mode():
            total = self._probabilities()
            for _ in range(1, draws):
                total += self._probabilities()
            return np.asarray((total / draws).numpy())

    def _probabilities(self) -> Any:
        weights = {}
        for name, (loc, scale, bias) in self._posteriors.items():
            noise = torch.randn(loc.shape, generator=self._noise)
            weights[name] = (torch.addcmul(loc, scale, noise), bias)
        x = self._inputs
        for run in self._layers:
            x = run(x, weights)
        return torch.softmax(x, -1)


def _torch_order(kernel: AnyArray) -> Any:
    """`[unit, in]` of `[in, unit]`; `[out, in, row, column]` of `[row, column, in, out]`."""
    order = (1, 0) if kernel.ndim == 2 else (3, 2, 0, 1)
    return torch.from_numpy(np.ascontiguousarray(kernel.transpose(order)))


def _layer(layer: Any) -> Callable[[Any, Mapping[str, Any]], Any]:
    """A layer of a Keras model in PyTorch; images are `[example, row, column, channel]` between layers.

    Raises:
        ValueError: If it is of a kind that no network of the benchmark has.
    """
    kind = type(layer).__name__
    if kind == "Flatten":
        return lambda x, weights: x.reshape(len(x), -1)
    if kind == "MaxPooling2D":
        return lambda x, weights: _as_rows(functional.max_pool2d(_as_channels(x), layer.pool_size))
    activation: Any = functional.relu if layer.activation.__name__ == "relu" else lambda x: x
    if kind == "DenseFlipout":
        return lambda x, weights: activation(functional.linear(x, *weights[layer.name]))
    if kind in {"Conv2DFlipout", "Convolution2DFlipout"}:
        return lambda x, weights: _as_rows(
            activation(functional.conv2d(_as_channels(x), *weights[layer.name], padding=layer.padding))
        )
    raise ValueError(f"no layer {kind} in PyTorch")


def _as_channels(x: Any) -> Any:
    """A view `[example, channel, row, column]`, in the memory format that is fastest on CPUs."""
    return x.permute(0, 3, 1, 2)


def _as_rows(x: Any) -> Any:
    return x.permute(0, 2, 3, 1)
