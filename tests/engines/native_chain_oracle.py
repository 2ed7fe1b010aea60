"""Chains of dense layers in NumPy and float64, from their description, and worlds to run them in."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import softmax

from bprune.arrays import AnyArray, FloatArray
from bprune.engines.native.chain import Chain, Link, Opening, tiles_of
from bprune.engines.native.noise import DrawNoise
from bprune.lowering.ops import Dense
from bprune.lowering.weights import Stream, Weights
from tests.engines.native_noise_oracle import unit_noise, weight_noise

__all__ = ["SEED", "World", "make_world", "weights"]

SEED = 3


def weights(
    rng: np.random.Generator, name: str, shape: tuple[int, ...], family: str = "Normal", share: float = 1.0
) -> Weights:
    """Weights without symmetry; some have scale 0, some a negative one; fixed ones where there is no family.

    Args:
        rng: Where numbers come from.
        name: The stream's name.
        shape: The tensor's shape.
        family: The posterior's family, or "".
        share: How many are not pruned.
    """
    size = int(np.prod(shape))
    factor = 1.0 / np.sqrt(max(shape[0] * share, 1.0))
    loc = (rng.normal(0.2, 1.0, shape) * factor).astype(np.float32)
    pruned = rng.random(shape) >= share
    if not family:
        return Weights(loc).without(pruned)
    if family == "LogNormal":
        loc -= np.float32(2.0)
    scale = (rng.uniform(-0.2, 0.5, shape) * factor * (rng.random(shape) < 0.9)).astype(np.float32)
    ids = np.sort(rng.permutation(3 * size)[:size]).astype(np.int32).reshape(shape)
    return Weights(loc, scale, family, Stream(name, 0, 3 * size, shape[-1]), ids).without(pruned)


def drawn(item: Weights, noise: DrawNoise) -> AnyArray:
    """The weights of a draw."""
    if item.scale is None or item.stream is None or item.ids is None:
        return item.loc.astype(np.float64)
    z = weight_noise(item.family, SEED, item.stream.key, item.ids.reshape(-1), noise.number).reshape(item.shape)
    values = item.loc.astype(np.float64) + noise.sign * item.scale.astype(np.float64) * z
    return np.exp(values) if item.family == "LogNormal" else values


@dataclass(frozen=True)
class World:
    """A chain with inputs for it.

    Attributes:
        links: The layers.
        opening: What comes before them.
        mean: `[example, feature]`, or None.
        std: Likewise.
        rows: `[draw, example, feature]`, or None.
    """

    links: tuple[Link, ...]
    opening: Opening | None
    mean: FloatArray | None
    std: FloatArray | None
    rows: FloatArray | None

    @property
    def width(self) -> int:
        """The outputs of the last layer."""
        if self.links:
            return int(self.links[-1].op.kernel.shape[1])
        assert self.opening is not None
        return int(self.opening.units.size)

    def chain(self) -> Chain:
        """The chain, prepared."""
        return Chain(SEED, self.links, self.opening)

    def run(self, examples: AnyArray, draws: Sequence[DrawNoise], chosen: AnyArray, *, softmax: bool) -> FloatArray:
        """Draws of some examples.

        Args:
            examples: Their numbers.
            draws: The draws' noise.
            chosen: Which inputs they have.
            softmax: Whether probabilities are wanted.
        """
        classes = max(self.width, 2) if softmax else self.width
        out = np.full((len(draws), len(examples), classes), 7.0, np.float32)
        mean, std = (None if item is None else tiles_of(item[chosen]) for item in (self.mean, self.std))
        rows = None if self.rows is None else self.rows[: len(draws), chosen]
        found = self.chain().run(out, 0, 0, examples, draws, mean=mean, std=std, rows=rows, softmax=softmax)
        assert found == -1
        return out

    def expected(self, examples: AnyArray, draws: Sequence[DrawNoise], *, is_softmax: bool) -> AnyArray:
        """What `run` should give for all inputs, `[draw, example, unit]`, float64."""
        return np.stack([self._draw(i, examples, noise, is_softmax=is_softmax) for i, noise in enumerate(draws)])

    def _draw(self, index: int, examples: AnyArray, noise: DrawNoise, *, is_softmax: bool) -> AnyArray:
        given = self.mean if self.rows is None else self.rows[index]
        assert given is not None
        x = given.astype(np.float64)
        if self.opening is not None and self.std is not None:
            ids, name = self.opening.units, self.opening.name
            kinds = {place: unit_noise(SEED, name, ids, noise.number, place) for place in set(examples % 64)}
            z = np.array([kinds[place] for place in examples % 64]).reshape(x.shape)
            x = x + noise.sign * self.std.astype(np.float64) * z
            x = np.maximum(x, 0.0) if self.opening.relu else x
        for link in self.links:
            op = link.op
            if op.constant is not None:
                x = np.concatenate([x, np.broadcast_to(op.constant, (len(x), op.constant.size))], axis=1)
            x = x @ drawn(op.kernel, noise)
            x = x if op.bias is None else x + drawn(op.bias, noise)
            x = np.maximum(x, 0.0) if link.relu else x
        if not is_softmax:
            return x
        return np.asarray(softmax(np.concatenate([0.0 * x, x], axis=1) if x.shape[1] == 1 else x, axis=1))


def make_world(
    kind: str,
    widths: Sequence[int],
    examples: int,
    draws: int,
    *,
    sparse: bool = False,
    family: str = "Normal",
    bias: str | None = "Normal",
    constants: int = 0,
    relu: bool = True,
    share: float = 1.0,
) -> World:
    """A chain.

    Args:
        kind: How it opens: "moments", "fixed" or "rows".
        widths: Features, then units of every layer.
        examples: How many inputs it has.
        draws: For how many draws, if inputs differ.
        sparse: Whether layers are multiplied by live weights.
        family: Of the kernels.
        bias: Family of the biases, "" for fixed ones, None for none.
        constants: Constant features of every layer.
        relu: Whether the layers but the last have one.
        share: How many weights are not pruned.
    """
    rng = np.random.default_rng(len(widths) + examples)
    links = []
    for i, (inputs, outputs) in enumerate(itertools.pairwise(widths)):
        kernel = weights(rng, f"kernel{i}", (inputs + constants, outputs), family, share)
        offsets = None if bias is None else weights(rng, f"bias{i}", (outputs,), bias)
        constant = rng.normal(0.5, 1.0, constants).astype(np.float32) if constants else None
        op = Dense(f"d{i}", ("x",), kernel, offsets, constant, f"d{i}")
        links.append(Link(op, relu and i < len(widths) - 2, sparse))
    mean, std = (rng.normal(0.3, 1.0, (examples, widths[0])).astype(np.float32) for _ in range(2))
    rows = rng.normal(0.3, 1.0, (draws, examples, widths[0])).astype(np.float32)
    opening = Opening("first#0", rng.permutation(4 * widths[0])[: widths[0]], relu) if kind == "moments" else None
    fixed = None if kind == "rows" else mean
    return World(tuple(links), opening, fixed, np.abs(std) if opening else None, None if kind != "rows" else rows)
