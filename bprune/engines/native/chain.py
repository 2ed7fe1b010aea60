"""Chains of dense layers: everything that the kernel `run_chain` needs, prepared once and used in every draw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bprune.arrays import AnyArray, FloatArray
from bprune.engines.native.noise import DrawNoise, WeightSampler, noise_key
from bprune.engines.native.sparse import SparseProduct
from bprune.lowering.ops import Dense
from bprune.lowering.weights import Weights

__all__ = ["PLACES", "Chain", "Link", "Opening", "tiles_of"]

PLACES = 64
"""Examples of a tile; an example's place in it is its number modulo 64."""

_GROUP_BYTES = 512 * 1024
"""What the weights and the noise of the draws that a tile runs at a time take at most: part of a core's cache."""
_MOST_GROUPED = 16


@dataclass(frozen=True)
class Link:
    """A layer of a chain.

    Attributes:
        op: The layer.
        relu: Whether negative outputs become 0.
        sparse: Whether it is multiplied by its live weights alone.
    """

    op: Dense
    relu: bool
    sparse: bool = False


@dataclass(frozen=True)
class Opening:
    """A first layer whose outputs are drawn from cached moments.

    Attributes:
        name: What its noise belongs to: the key of its kernel's stream.
        units: Original ids of its units, `[unit]`.
        relu: Whether negative outputs become 0.
    """

    name: str
    units: AnyArray
    relu: bool


class Chain:
    """Dense layers, one behind the other.

    Args:
        seed: The run's seed.
        links: The layers that are products, in order.
        opening: What comes before them, or None.

    Raises:
        ValueError: If there is no layer, or one does not take what the one before gives.
    """

    def __init__(self, seed: int, links: Sequence[Link], opening: Opening | None = None) -> None:
        self._has_opening = opening is not None
        self._inputs, self._outputs = _ends(links, opening)
        units = np.zeros(0, np.uint32) if opening is None else opening.units.astype(np.uint32)
        key = noise_key(seed, opening.name, "unit") if opening else (np.uint32(0), np.uint32(0))
        self._opening = (units, key, bool(opening and opening.relu))
        tables = _Tables(seed)
        for link in links:
            tables.add(link)
        self._tables = tables.joined()
        size = 4 * max(1, tables.size + 2 * PLACES * units.size)
        self._group = max(1, min(_MOST_GROUPED, _GROUP_BYTES // size))

    def run(
        self,
        out: FloatArray,
        begin: int,
        start: int,
        examples: AnyArray,
        draws: Sequence[DrawNoise],
        *,
        mean: FloatArray | None = None,
        std: FloatArray | None = None,
        rows: AnyArray | None = None,
        softmax: bool = False,
    ) -> int:
        """Make some draws of the last layer's outputs for a block of examples.

        Exactly one of `mean` and `rows` is given; `std` goes with an opening, and with nothing else.

        Args:
            out: `[draw, example, unit]`, float32, contiguous; written from draw `begin` and example `start` on.
            begin: See above.
            start: See above.
            examples: Numbers of the examples, `[example]`.
            draws: The noise of each draw.
            mean: `[tile, feature, 64]`, float32: the means of the opening, or inputs that are the same in every draw.
            std: Of the same shape: the standard deviations of the opening.
            rows: `[draw, example, feature]`: inputs of every draw.
            softmax: Whether `out` takes class probabilities in place of outputs.

        Returns:
            The index of the first draw with a value that is not finite, or -1.

        Raises:
            ValueError: If the arrays do not fit together, or to the chain.
        """
        from bprune.engines.native.kernels_chain import run_chain

        given = mean.shape[1] if mean is not None else 0 if rows is None else rows.shape[2]
        self._check_out(out, (begin, begin + len(draws)), (start, start + examples.size), softmax=softmax)
        self._check_inputs(examples.size, len(draws), given, mean, std, rows)
        if not len(draws) or not examples.size:
            return -1
        numbers = np.array([noise.number for noise in draws], np.uint64)
        halves = np.stack([numbers & np.uint64(0xFFFFFFFF), numbers >> np.uint64(32)], axis=1).astype(np.uint32)
        signs = np.array([noise.sign for noise in draws], np.float32)
        arguments: list[Any] = [out, int(begin), int(start), int(examples.size), bool(softmax), halves, signs]
        arguments += [min(self._group, len(draws)), *map(_flat, (mean, std, rows)), given, _places(examples)]
        arguments += [*self._opening, *self._tables]
        first: int = run_chain(*arguments)
        return first

    def _check_out(self, out: FloatArray, draws: tuple[int, int], examples: tuple[int, int], *, softmax: bool) -> None:
        """Whether the results have a place: the kernel itself writes wherever it is told to."""
        classes = max(self._outputs, 2) if softmax and self._outputs else self._outputs
        ends = zip((draws, examples), out.shape, strict=False)
        if (
            out.ndim != 3
            or out.shape[2] != classes
            or not all(0 <= first <= end <= size for (first, end), size in ends)
        ):
            raise ValueError(
                f"draws {draws[0]} to {draws[1]} of examples {examples[0]} to {examples[1]}, {classes} numbers each, "
                f"have no place in an array of the shape {out.shape}"
            )
        if out.dtype != np.float32 or not out.flags.c_contiguous or not out.flags.writeable:
            raise ValueError("the results of a chain go to a contiguous array of float32 that can be written")
        if softmax and not self._outputs:
            raise ValueError("there are no class probabilities of a chain without outputs")

    def _check_inputs(
        self,
        examples: int,
        draws: int,
        given: int,
        mean: FloatArray | None,
        std: FloatArray | None,
        rows: AnyArray | None,
    ) -> None:
        """Whether all inputs are there that the kernel reads."""
        if (mean is None) == (rows is None) or (std is not None) != self._has_opening:
            raise ValueError("a chain takes means or rows, and deviations if and only if it begins with moments")
        if given != self._inputs:
            raise ValueError(f"a chain that takes {self._inputs} features does not take {given}")
        if rows is not None:
            fits = rows.shape == (draws, examples, given)
        else:
            shapes = [item.shape for item in (mean, std) if item is not None]
            least = -(-examples // PLACES)
            fits = all(len(shape) == 3 and shape[0] >= least and shape[1:] == (given, PLACES) for shape in shapes)
        if not fits:
            found = [item.shape for item in (mean, std, rows) if item is not None]
            raise ValueError(f"inputs of the shape {found} are not those of {draws} draws of {examples} examples")


def tiles_of(values: AnyArray) -> FloatArray:
    """`[example, feature]` as `[tile, feature, 64]`, float32; what is missing in the last tile is 0."""
    examples, features = values.shape
    tiles = np.zeros((-(-examples // PLACES), PLACES, features), np.float32)
    tiles.reshape(len(tiles) * PLACES, features)[:examples] = values
    return np.ascontiguousarray(tiles.transpose(0, 2, 1))


def _flat(values: AnyArray | None) -> FloatArray:
    return np.zeros(0, np.float32) if values is None else np.require(values, np.float32, ["C", "W"]).reshape(-1)


def _places(examples: AnyArray) -> AnyArray:
    """The places of examples in the noise, `[tile * 64]`, int64; what fills up the last tile goes on counting."""
    places = np.zeros(-(-examples.size // PLACES) * PLACES, np.int64)
    places[: examples.size] = examples % PLACES
    filled = np.arange(examples.size, places.size)
    if filled.size:
        start = places.size - PLACES
        places[filled] = (places[start] + filled - start) % PLACES
    return places


def _ends(links: Sequence[Link], opening: Opening | None) -> tuple[int, int]:
    """How many features a chain takes, and how many numbers it gives."""
    if not links and opening is None:
        raise ValueError("a chain has at least one layer")
    taken = None if opening is None else opening.units.size
    given = taken
    for op in (link.op for link in links):
        inputs, outputs = op.kernel.shape
        inputs -= 0 if op.constant is None else op.constant.size
        if inputs < 0 or given not in (None, inputs) or not (op.bias is None or op.bias.loc.size == outputs):
            raise ValueError(
                f"the layer {op.name!r} takes {inputs} features and gives {outputs}, not what is around it"
            )
        taken, given = inputs if taken is None else taken, outputs
    return int(taken or 0), int(given or 0)


class _Tables:
    """The tables of `run_chain`, while they grow."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self.size = 0
        self._layers: list[list[int]] = []
        self._tensors: list[list[int]] = []
        self._keys: list[tuple[np.uint32, np.uint32]] = []
        kinds = {"constants": "f4", "ends": "i8", "inputs": "u4", "template": "f4", "loc": "f4", "scale": "f4"}
        kinds |= {"counters": "u4", "sampled_ends": "i8", "sources": "u2", "targets": "u4"}
        self._arrays = {name: [np.zeros(0, kind)] for name, kind in kinds.items()}

    def _put(self, name: str, values: AnyArray) -> int:
        """Append to an array; where the values begin."""
        parts = self._arrays[name]
        parts.append(np.asarray(values, parts[0].dtype).reshape(-1))
        return sum(item.size for item in parts[:-1])

    def add(self, link: Link) -> None:
        """Append a layer."""
        op = link.op
        inputs, outputs = op.kernel.shape
        constant = np.zeros(0) if op.constant is None else op.constant
        blocks = ends_at = inputs_at = 0
        order = None
        if link.sparse:
            places = SparseProduct(op.kernel.live, PLACES)
            order, blocks = places.order, len(places.ends)
            ends_at, inputs_at = self._put("ends", places.ends), self._put("inputs", places.inputs)
        kernel_at = self._weights(op.kernel, order)
        bias_at = self._put("template", np.zeros(outputs)) if op.bias is None else self._weights(op.bias, None)
        row = [link.sparse, inputs, constant.size, outputs, link.relu, kernel_at, bias_at]
        self._layers.append([*map(int, row), self._put("constants", constant), ends_at, blocks, inputs_at])
        self.size = sum(item.size for item in self._arrays["template"])

    def _weights(self, weights: Weights, order: AnyArray | None) -> int:
        """Append a tensor, its elements in some order; where it begins in a draw's values."""
        fixed = weights.mean().loc.reshape(-1)
        order = np.arange(fixed.size) if order is None else order
        at = self._put("template", fixed[order])
        if weights.scale is None or weights.ids is None or weights.stream is None:
            return at
        chosen = np.flatnonzero(weights.scale.reshape(-1)[order])
        if not chosen.size:
            return at
        parts = [item.reshape(-1)[order[chosen]] for item in (weights.loc, weights.scale, weights.ids)]
        targets = None if chosen.size == order.size else chosen
        loc, scale, ids = parts
        table = WeightSampler(self._seed, weights.stream, weights.family, loc, scale, ids, targets).table
        start = self._put("loc", table.loc)
        self._put("scale", table.scale)
        counters, ends, targets = table.counters, table.ends, table.targets
        self._put("sources", table.sources if counters.size else np.zeros(table.loc.size, np.uint16))
        row = [table.family, at, order.size, start, table.loc.size, self._put("counters", counters), counters.size]
        row += [self._put("sampled_ends", ends), ends.size, self._put("targets", targets), targets.size]
        self._tensors.append(row)
        self._keys.append(table.key)
        return at

    def joined(self) -> tuple[AnyArray, ...]:
        """The tables in the order of the kernel's arguments."""
        arrays = {name: np.concatenate(parts) for name, parts in self._arrays.items()}
        layers = np.array(self._layers, np.int64).reshape(-1, 11)
        tensors = np.array(self._tensors, np.int64).reshape(-1, 11)
        keys = np.array(self._keys, np.uint32).reshape(-1, 2)
        names = ("loc", "scale", "counters", "sampled_ends", "sources", "targets")
        before = (arrays[name] for name in ("constants", "ends", "inputs", "template"))
        return layers, *before, tensors, keys, *(arrays[name] for name in names)
