"""Dense layers of the engine `native`: how one is drawn, prepared once and used in every draw."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bprune.arrays import AnyArray, FloatArray
from bprune.engines.native.noise import DrawNoise
from bprune.engines.native.weights import WeightDraw
from bprune.lowering.ops import Dense
from bprune.lowering.weights import Weights

__all__ = ["Moments", "MomentsLayer", "ProductLayer", "unit_ids"]


@dataclass(frozen=True, eq=False)
class Moments:
    """Mean and standard deviation of a layer's outputs, given its inputs.

    Attributes:
        mean: `[example, unit]`, float32.
        std: `[example, unit]`, float32.
    """

    mean: FloatArray
    std: FloatArray


class ProductLayer:
    """A dense layer by one product per draw: the weights are drawn, and shared by all examples.

    Args:
        seed: The run's seed.
        op: The layer.
    """

    def __init__(self, seed: int, op: Dense) -> None:
        self.kernel = WeightDraw(seed, op.kernel)
        self.bias = None if op.bias is None else WeightDraw(seed, op.bias)
        self._constant = None if op.constant is None else np.asarray(op.constant, np.float32)

    def draw(self, inputs: AnyArray, noise: DrawNoise, out: FloatArray, relu: bool) -> None:
        """Write one draw of the outputs.

        Args:
            inputs: `[row, in]`; rows run over examples, then over the positions of an example.
            noise: The draw's noise.
            out: `[row, unit]`, float32, written.
            relu: Whether negative outputs become 0.
        """
        kernel = self.kernel.draw(noise)
        constant = self._constant
        units = kernel.shape[0] - (0 if constant is None else constant.shape[-1])
        np.matmul(inputs, kernel[:units], out=out)
        bias = None if self.bias is None else self.bias.draw(noise)
        if constant is not None:
            part = constant.reshape(-1, constant.shape[-1]) @ kernel[units:]
            bias = part if bias is None else part + bias
        if bias is not None:
            positions = out.reshape(-1, 1 if bias.ndim == 1 else len(bias), out.shape[-1])
            positions += bias
        if relu:
            np.maximum(out, 0.0, out=out)


class MomentsLayer:
    """A dense layer whose inputs are the same in every draw, by moments of its outputs that are computed once.

    The outputs of an example are Normal and independent between units (local reparameterization).

    Source: Kingma, Salimans and Welling (2015), "Variational dropout and the local reparameterization trick", eq. 6.

    Args:
        op: The layer, with features as inputs, Normal or fixed weights, and units that are known; see `unit_ids`.
    """

    def __init__(self, op: Dense) -> None:
        self._loc, self._variance = _moments(op.kernel)
        self._bias = _moments(op.bias) if op.bias is not None else None
        self._constant = None if op.constant is None else np.asarray(op.constant, np.float64)

    def moments(self, inputs: AnyArray) -> Moments:
        """The moments of the outputs, given inputs `[example, in]`."""
        x = np.asarray(inputs, np.float32)
        units = x.shape[1]
        mean = x @ self._loc[:units].astype(np.float32)
        variance = np.square(x) @ self._variance[:units].astype(np.float32)
        if self._constant is not None:
            mean += (self._constant @ self._loc[units:]).astype(np.float32)
            variance += (np.square(self._constant) @ self._variance[units:]).astype(np.float32)
        if self._bias is not None:
            mean += self._bias[0].astype(np.float32)
            variance += self._bias[1].astype(np.float32)
        return Moments(np.ascontiguousarray(mean), np.sqrt(variance))


def unit_ids(kernel: Weights) -> AnyArray | None:
    """The original number of every unit of a dense kernel `[in, unit]`; None where columns are not units."""
    if kernel.ids is None or kernel.stream is None or kernel.family != "Normal" or not kernel.ids.size:
        return None
    columns = kernel.ids % kernel.stream.units
    if (columns != columns[:1]).any() or np.unique(columns[0]).size != columns.shape[1]:
        return None
    return np.asarray(columns[0])


def _moments(weights: Weights) -> tuple[AnyArray, AnyArray]:
    """Mean and variance of Normal or fixed weights, float64."""
    scale = np.zeros_like(weights.loc) if weights.scale is None else weights.scale
    return weights.loc.astype(np.float64), np.square(scale.astype(np.float64))
