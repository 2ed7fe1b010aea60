"""Sparse layers: where the live weights of a kernel are, in the order in which they are multiplied.

The places are worked out once; values come anew in every draw. Weights are ordered by block of inputs, then output, so
that a block of the activations is in the fastest cache while all outputs are added to.
"""

from __future__ import annotations

import numpy as np

from bprune.arrays import AnyArray, BoolArray, FloatArray, IntArray

__all__ = ["LANES", "SparseConvolution", "SparseProduct", "aligned"]

LANES = 16
"""Examples side by side."""

_CACHE_BYTES = 32 * 1024
_FEWEST_WEIGHTS = 8
"""Weights of an output in a block, on average, below which the sums would be moved more than the activations."""


def aligned(shape: tuple[int, ...]) -> FloatArray:
    """An array, float32, not initialised, that begins on a cache line: the sparse kernels read up to twice as fast.

    Args:
        shape: The array's shape.
    """
    size = int(np.prod(shape))
    memory = np.empty(size + LANES, np.float32)
    start = -(memory.ctypes.data // memory.itemsize) % LANES
    return memory[start : start + size].reshape(shape)


class SparseProduct:
    """The live weights of a dense kernel, ordered by block of inputs, then output.

    Attributes:
        order: `[weight]`: a weight's flat position in the kernel, `[input, output]`.
        inputs: `[weight]`, uint32: its input.
        ends: `[block, output]`, int64: where the weights of an output in a block of inputs end.

    Args:
        live: `[input, output]`: which weights are not 0.
        examples: How many examples are worked on side by side.
    """

    def __init__(self, live: BoolArray, examples: int) -> None:
        inputs, outputs = np.nonzero(live)
        share = max(inputs.size / max(live.size, 1), 1e-9)
        block = max(_CACHE_BYTES // (4 * examples), int(_FEWEST_WEIGHTS / share))
        blocks = inputs // block
        order = np.lexsort((inputs, outputs, blocks))
        self.order: IntArray = np.ravel_multi_index((inputs[order], outputs[order]), live.shape)
        self.inputs = inputs[order].astype(np.uint32)
        self.ends = _ends(blocks[order], outputs[order], -(-live.shape[0] // block), live.shape[1])


class SparseConvolution:
    """The live weights of a kernel of a two-dimensional convolution.

    Activations are in lanes, `[channel, row, column, 16]`, zeros around the picture included.

    Attributes:
        order: `[weight]`: the flat position in the kernel, `[*window, input, output]`, of each value that `run` takes.
        size: Rows and columns of the result.

    Args:
        live: `[*window, input, output]`: which weights are not 0.
        picture: Rows and columns of the input, padding included.
        strides: Per spatial axis.
        dilations: Per spatial axis.
    """

    def __init__(
        self,
        live: BoolArray,
        picture: tuple[int, int],
        strides: tuple[int, int] = (1, 1),
        dilations: tuple[int, int] = (1, 1),
    ) -> None:
        spans = [(count - 1) * gap + 1 for count, gap in zip(live.shape[:2], dilations, strict=True)]
        rows, columns = ((side - span) // step + 1 for side, span, step in zip(picture, spans, strides, strict=True))
        self.size = (max(rows, 0), max(columns, 0))
        self._strides = (int(strides[0]), int(strides[1]))
        self._channels = (live.shape[3], live.shape[2])
        self._picture = (int(picture[0]), int(picture[1]))
        i, j, inputs, outputs = np.nonzero(live)
        window = live.shape[0] * live.shape[1] * max(inputs.size / max(live.size, 1), 1e-9)
        block = max(1, _CACHE_BYTES // (4 * LANES * spans[0] * picture[1]), int(_FEWEST_WEIGHTS / window))
        blocks = inputs // block
        order = np.lexsort((j, i, inputs, outputs, blocks))
        i, j, inputs, outputs, blocks = (item[order] for item in (i, j, inputs, outputs, blocks))
        self.order: IntArray = np.ravel_multi_index((i, j, inputs, outputs), live.shape)
        places = (inputs * picture[0] + i * dilations[0]) * picture[1] + j * dilations[1]
        self._offsets = places.astype(np.uint32)
        self._ends = _ends(blocks, outputs, -(-live.shape[2] // block), live.shape[3])

    def run(
        self,
        out: FloatArray,
        x: FloatArray,
        values: FloatArray,
        bias: FloatArray | None,
        *,
        relu: bool = False,
        corner: tuple[int, int] = (0, 0),
    ) -> None:
        """Convolve 16 examples.

        Args:
            out: `[output, row, column, 16]`, float32; what lies around the result is left alone.
            x: `[input, row, column, 16]`, float32, of the size of `picture`.
            values: `[weight]`, float32: see `order`.
            bias: `[output]`, float32; None for 0.
            relu: Whether negative outputs become 0.
            corner: Row and column of `out` at which the result begins.

        Raises:
            ValueError: If the shapes do not fit together.
        """
        from bprune.engines.native.kernels_sparse import sparse_convolution

        room = all(0 <= at <= have - need for at, have, need in zip(corner, out.shape[1:3], self.size, strict=True))
        fits = (
            room
            and x.shape == (self._channels[1], *self._picture, LANES)
            and out.shape[::3] == (self._channels[0], LANES)
        )
        if not fits or values.size != self.order.size or not (bias is None or bias.size == out.shape[0]):
            raise ValueError(f"the convolution of {x.shape} does not fit into {out.shape} at {corner}")

        places = (self._ends, self._offsets, values, _bias(bias, out.shape[0]))
        sparse_convolution(out, x, *places, self._strides, corner, self.size, bool(relu))


def _ends(blocks: AnyArray, outputs: AnyArray, count: int, width: int) -> AnyArray:
    """Where the weights of each block and output end, `[block, output]`, int64."""
    return np.searchsorted(blocks * width + outputs, np.arange(count * width), side="right").reshape(count, width)


def _bias(bias: FloatArray | None, size: int) -> FloatArray:
    return np.zeros(size, np.float32) if bias is None else np.require(bias, np.float32, ["C", "W"])
