"""Two-dimensional convolutions of the engine `native`: three ways to compute one, each prepared once."""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from bprune.arrays import AnyArray, FloatArray
from bprune.engines.native.noise import DrawNoise
from bprune.engines.native.sparse import SparseConvolution
from bprune.engines.native.weights import ValueDraw, WeightDraw
from bprune.lowering.ops import Conv
from bprune.lowering.program import Program

__all__ = ["Convolution", "Drawn", "Room", "choose_convolution", "narrow_convolutions"]

_PLAIN_NS, _SPARSE_NS = 0.0205, 0.032
"""Nanoseconds of one core for a multiply-add with all weights, and with live weights alone."""
_PICTURE_NS, _RESULT_NS = 8.0, 3.5
"""Nanoseconds to transform a tile of a channel's inputs, and of a filter's results."""
_MOVE_NS = 0.5
"""Nanoseconds to move a number between layouts."""
_SIDE = 6

Pair = tuple[int, int]


@dataclass(frozen=True)
class Room:
    """An array for pictures: `[group, channel, row, column, 16]`.

    Attributes:
        rows: Its rows, zeros around the pictures included.
        columns: Its columns.
        corner: Row and column at which the pictures begin.
    """

    rows: int
    columns: int
    corner: Pair


Drawn = tuple[FloatArray, FloatArray]
"""A kernel and a bias of one draw, as the convolution takes them."""


class Convolution(Protocol):
    """A way to compute a convolution.

    Attributes:
        describe: Which way, in a few words.
        room: What its input stands in.
    """

    describe: str
    room: Room

    def draw(self, noise: DrawNoise) -> Drawn:
        """The weights of one draw; the next draw in this thread overwrites them."""
        ...

    def run(self, out: FloatArray, corner: Pair, x: FloatArray, drawn: Drawn, relu: bool, pool: Pair) -> None:
        """Convolve groups of 16 examples.

        Args:
            out: `[group, channel, row, column, 16]`, float32, written in part: the filters come first.
            corner: Where the result begins in `out`.
            x: `[group, channel, row, column, 16]`, float32, of the size of `room`.
            drawn: What `draw` gave.
            relu: Whether negative results become 0.
            pool: The windows of the max pooling behind it; (1, 1) for none. Plain convolutions alone have one.
        """
        ...


def choose_convolution(seed: int, op: Conv, program: Program) -> Convolution:
    """The cheapest way, by a cost model; it is a function of the program alone.

    Args:
        seed: The run's seed.
        op: A two-dimensional convolution.
        program: The program.
    """
    costs = _costs(op, program)
    return min(costs, key=lambda kind: costs[kind])(seed, op, program)


def narrow_convolutions(program: Program, wide: frozenset[str], speed: float) -> frozenset[str]:
    """The convolutions that are cheaper in bfloat16, window by window, than in any way in float32.

    Args:
        program: The program.
        wide: The operations whose products are float32 whatever they cost.
        speed: How many times as fast as in float32 products in bfloat16 are.
    """
    found = set()
    for op in program.ops:
        if isinstance(op, Conv) and len(op.strides) == 2 and op.name not in wide:
            costs = _costs(op, program)
            moved = program.shapes[op.inputs[0]].size + program.shapes[op.name].size
            if costs[Plain] / speed + _MOVE_NS * moved < min(costs.values()):
                found.add(op.name)
    return frozenset(found)


def _costs(op: Conv, program: Program) -> dict[type[Plain | Sparse | Winograd], float]:
    """Nanoseconds of one core for an example, by way."""
    size, (window, _, channels, filters) = _pair(program.shapes[op.name].spatial), op.kernel.shape
    positions = math.prod(size)
    costs: dict[type[Plain | Sparse | Winograd], float] = {
        Plain: _PLAIN_NS * positions * op.kernel.loc.size,
        Sparse: _SPARSE_NS * positions * op.kernel.nonzeros,
    }
    if window in (3, 5) and op.kernel.shape[1] == window and set(op.strides) == set(op.dilations) == {1}:
        tiles = math.prod(-(-side // (_SIDE + 1 - window)) for side in size)
        multiplied = _PLAIN_NS * _SIDE**2 * channels * filters
        costs[Winograd] = tiles * (multiplied + _PICTURE_NS * channels + _RESULT_NS * filters)
    return costs


class _Layer:
    """What all ways have in common: sizes, and the bias."""

    def __init__(self, seed: int, op: Conv, program: Program) -> None:
        source = _pair(program.shapes[op.inputs[0]].spatial)
        self.size = _pair(program.shapes[op.name].spatial)
        self.room = Room(
            rows=source[0] + sum(op.pads[0]),
            columns=source[1] + sum(op.pads[1]),
            corner=(int(op.pads[0][0]), int(op.pads[1][0])),
        )
        self._none = np.zeros(op.kernel.shape[3], np.float32)
        self._bias = None if op.bias is None else WeightDraw(seed, op.bias)

    def _draw_bias(self, noise: DrawNoise) -> FloatArray:
        return self._none if self._bias is None else self._bias.draw(noise)


class Plain(_Layer):
    """Window by window, with all weights."""

    describe = "drawn weights, plain convolution"

    def __init__(self, seed: int, op: Conv, program: Program) -> None:
        super().__init__(seed, op, program)
        self._kernel = WeightDraw(seed, op.kernel)
        self._strides = _pair(op.strides)
        height, width, channels, _ = op.kernel.shape
        i, j, c = np.meshgrid(np.arange(height), np.arange(width), np.arange(channels), indexing="ij")
        places = (c * self.room.rows + i * op.dilations[0]) * self.room.columns + j * op.dilations[1]
        self._offsets = places.reshape(-1).astype(np.uint32)

    def draw(self, noise: DrawNoise) -> Drawn:
        """See `Convolution.draw`."""
        return self._kernel.draw(noise).reshape(-1), self._draw_bias(noise)

    def run(self, out: FloatArray, corner: Pair, x: FloatArray, drawn: Drawn, relu: bool, pool: Pair) -> None:
        """See `Convolution.run`."""
        from bprune.engines.native.kernels_conv import plain_convolution

        plain_convolution(out, corner, self.size, x, self._offsets, self._strides, *drawn, relu, pool)


class Sparse(_Layer):
    """Live weights alone."""

    describe = "drawn live weights, sparse convolution"

    def __init__(self, seed: int, op: Conv, program: Program) -> None:
        super().__init__(seed, op, program)
        picture, strides, dilations = (self.room.rows, self.room.columns), _pair(op.strides), _pair(op.dilations)
        self._places = SparseConvolution(op.kernel.live, picture, strides, dilations)
        self._values = ValueDraw(seed, op.kernel, self._places.order)

    def draw(self, noise: DrawNoise) -> Drawn:
        """See `Convolution.draw`."""
        return self._values.draw(noise), self._draw_bias(noise)

    def run(self, out: FloatArray, corner: Pair, x: FloatArray, drawn: Drawn, relu: bool, pool: Pair) -> None:
        """See `Convolution.run`."""
        for place, pictures in zip(out, x, strict=True):
            self._places.run(place[: drawn[1].size], pictures, *drawn, relu=relu, corner=corner)


class Winograd(_Layer):
    """Tiles of 6 by 6, with fewer multiplications; see `kernels_winograd`."""

    describe = "drawn weights, Winograd convolution"

    def __init__(self, seed: int, op: Conv, program: Program) -> None:
        super().__init__(seed, op, program)
        self._kernel = WeightDraw(seed, op.kernel)
        self._window, _, self._channels, self._filters = op.kernel.shape
        self._own = threading.local()
        step = _SIDE + 1 - self._window
        rows, columns = ((-(-side // step) - 1) * step + _SIDE for side in self.size)
        self.room = Room(max(rows, self.room.rows), max(columns, self.room.columns), self.room.corner)

    def draw(self, noise: DrawNoise) -> Drawn:
        """See `Convolution.draw`."""
        from bprune.engines.native.kernels_winograd import transform_kernel

        out: FloatArray | None = getattr(self._own, "values", None)
        if out is None or self._kernel.is_random:
            if out is None:
                out = np.empty(_SIDE**2 * self._channels * self._filters, np.float32)
                self._own.values = out
            transform_kernel(out, self._kernel.draw(noise).reshape(-1), self._window, self._channels, self._filters)
        return out, self._draw_bias(noise)

    def run(self, out: FloatArray, corner: Pair, x: FloatArray, drawn: Drawn, relu: bool, pool: Pair) -> None:
        """See `Convolution.run`."""
        from bprune.engines.native.kernels_winograd import winograd_convolution

        winograd_convolution(out, corner, self.size, x, *drawn, self._window, relu)


def _pair(numbers: AnyArray | tuple[int, ...]) -> Pair:
    return int(numbers[0]), int(numbers[1])
