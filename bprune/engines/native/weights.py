"""Weight tensors of the engine `native`, prepared once and drawn in every draw."""

from __future__ import annotations

import threading

import numpy as np

from bprune.arrays import AnyArray, FloatArray
from bprune.engines.native.noise import DrawNoise, WeightSampler
from bprune.lowering.weights import Weights

__all__ = ["ValueDraw", "WeightDraw"]


class WeightDraw:
    """One weight tensor, ready to be drawn.

    Args:
        seed: The run's seed.
        weights: The tensor.
    """

    def __init__(self, seed: int, weights: Weights) -> None:
        self.shape = weights.shape
        self._template = np.ascontiguousarray(weights.mean().loc, np.float32)
        self._sampler: WeightSampler | None = None
        self._is_whole = False
        self._own = threading.local()
        if weights.scale is None or weights.ids is None or weights.stream is None:
            return
        flat = weights.scale.reshape(-1)
        chosen = np.flatnonzero(flat)
        if not chosen.size:
            return
        self._is_whole = chosen.size == flat.size
        targets = None if self._is_whole else chosen
        parts = [item.reshape(-1)[chosen] for item in (weights.loc, weights.scale, weights.ids)]
        self._sampler = WeightSampler(seed, weights.stream, weights.family, parts[0], parts[1], parts[2], targets)

    @property
    def is_random(self) -> bool:
        """Whether draws differ."""
        return self._sampler is not None

    def draw(self, noise: DrawNoise) -> FloatArray:
        """The weights of one draw, float32, of the tensor's shape; the next draw in this thread overwrites them.

        Args:
            noise: The draw's noise.
        """
        if self._sampler is None:
            return self._template
        out: FloatArray | None = getattr(self._own, "values", None)
        if out is None:
            out = np.empty(self.shape, np.float32) if self._is_whole else self._template.copy()
            self._own.values = out
        self._sampler.sample(out, noise.number, noise.sign)
        return out


class ValueDraw:
    """Some elements of a weight tensor, one after the other, ready to be drawn.

    Args:
        seed: The run's seed.
        weights: The tensor.
        order: Flat positions of the elements, `[element]`.
    """

    def __init__(self, seed: int, weights: Weights, order: AnyArray) -> None:
        self._fixed = np.ascontiguousarray(weights.mean().loc.reshape(-1)[order], np.float32)
        self._sampler: WeightSampler | None = None
        self._own = threading.local()
        if weights.scale is not None and weights.ids is not None and weights.stream is not None:
            parts = [item.reshape(-1)[order] for item in (weights.loc, weights.scale, weights.ids)]
            self._sampler = WeightSampler(seed, weights.stream, weights.family, parts[0], parts[1], parts[2])

    def draw(self, noise: DrawNoise) -> FloatArray:
        """The elements in one draw, `[element]`, float32; the next draw in this thread overwrites them."""
        if self._sampler is None:
            return self._fixed
        out: FloatArray | None = getattr(self._own, "values", None)
        if out is None:
            out = np.empty_like(self._fixed)
            self._own.values = out
        self._sampler.sample(out, noise.number, noise.sign)
        return out
