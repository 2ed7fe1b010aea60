"""Convolutions and poolings, one behind the other, as a step of the engine `native`.

64 examples at a time go through all of them, in lanes (`[group, channel, row, column, 16]`), so that what lies between
two layers is moved once, by the kernel that makes it, and never as a whole batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bprune.arrays import AnyArray, FloatArray
from bprune.engines.native.block import Block
from bprune.engines.native.convolutions import Convolution, Drawn, Pair, Plain, Room, choose_convolution
from bprune.engines.native.readers import only_reader, relu_after
from bprune.engines.native.sparse import LANES, aligned
from bprune.lowering.ops import Conv, Op, Pool, Pooling
from bprune.lowering.program import Program
from bprune.lowering.shapes import Shape

__all__ = ["ConvStage", "PictureStep", "PoolStage", "Stage", "can_pool", "stages_of"]

_EXAMPLES = 64
"""Examples that go through all layers together."""


@dataclass(frozen=True)
class ConvStage:
    """A convolution, and what is done at once with its results.

    Attributes:
        op: The operation.
        convolution: How it is computed.
        relu: Whether negative results become 0.
        pool: The windows of the max pooling behind it; (1, 1) for none.
        shape: The shape of what is left, `(row, column, filter)`.
    """

    op: Conv
    convolution: Convolution
    relu: bool
    pool: Pair
    shape: Shape


@dataclass(frozen=True)
class PoolStage:
    """A pooling.

    Attributes:
        op: The operation.
        source: The shape of its input, `(row, column, channel)`.
        shape: The shape of its result.
    """

    op: Pool
    source: Shape
    shape: Shape


Stage = ConvStage | PoolStage


def can_pool(convolution: Convolution, pool: Pool, size: Sequence[int]) -> bool:
    """Whether a pooling can be done where a convolution's results, `size` rows and columns, are made."""
    divides = all(side % window == 0 for side, window in zip(size, pool.window, strict=True))
    is_plain = isinstance(convolution, Plain) and pool.pooling is Pooling.MAX and not np.any(pool.pads)
    return is_plain and divides and tuple(pool.window) == tuple(pool.strides)


class PictureStep:
    """Convolutions and poolings; each but the last is read by the next alone.

    Args:
        stages: They, in order; the first is a convolution.
        source: The tensor that the first one reads.
        name: The tensor of the last one.
        hidden: The tensors between them, which are never kept.
    """

    def __init__(self, stages: Sequence[Stage], source: str, name: str, hidden: frozenset[str] = frozenset()) -> None:
        self._stages, self._source, self.name, self.hidden = tuple(stages), source, name, hidden
        self._rooms = [_room(stage) for stage in stages]
        last = stages[-1].shape
        self._shape = tuple(last)
        self._rooms.append(Room(last[0], last[1], (0, 0)))
        self.describe = ", then ".join(_describe(stage) for stage in stages if isinstance(stage, ConvStage))

    def run(self, block: Block) -> None:
        """See `Step.run`."""
        examples = len(block.examples)
        out = np.empty((len(block.draws), examples, *self._shape), np.float32)
        arrays = self._arrays(min(_EXAMPLES, examples))
        for index, noise in enumerate(block.draws):
            drawn = [stage.convolution.draw(noise) if isinstance(stage, ConvStage) else None for stage in self._stages]
            pictures = np.require(block.of_draw(self._source, index), np.float32, ["C", "W"])
            for start in range(0, examples, _EXAMPLES):
                self._tile(out[index, start : start + _EXAMPLES], pictures[start : start + _EXAMPLES], arrays, drawn)
        block.random[self.name] = out

    def _arrays(self, examples: int) -> list[FloatArray]:
        """Room for what lies before, between and behind the stages, with what is the same for all examples."""
        groups = -(-examples // LANES)
        channels = [_inputs(stage) for stage in self._stages] + [self._shape[2]]
        arrays = []
        for count, room in zip(channels, self._rooms, strict=True):
            arrays.append(aligned((groups, count, room.rows, room.columns, LANES)))
            arrays[-1][...] = 0.0
        for stage, array, room in zip(self._stages, arrays, self._rooms, strict=False):
            if isinstance(stage, ConvStage) and stage.op.constant is not None:
                values = np.moveaxis(stage.op.constant, -1, 0)[..., None]
                rows, columns = (
                    slice(at, at + size) for at, size in zip(room.corner, stage.op.constant.shape[:2], strict=True)
                )
                array[:, -len(values) :, rows, columns] = values
        return arrays

    def _tile(
        self, out: FloatArray, pictures: AnyArray, arrays: Sequence[FloatArray], drawn: Sequence[Drawn | None]
    ) -> None:
        """Some examples through all stages, `[example, row, column, channel]` to the same."""
        from bprune.engines.native.kernels_images import images_from_lanes, images_to_lanes

        groups = -(-len(pictures) // LANES)
        parts = [array[:groups] for array in arrays]
        for group in range(groups):
            given = parts[0][group, : pictures.shape[3]]
            images_to_lanes(given, pictures[group * LANES : (group + 1) * LANES], self._rooms[0].corner)
        for index, stage in enumerate(self._stages):
            x, result, corner = parts[index], parts[index + 1], self._rooms[index + 1].corner
            weights = drawn[index]
            if isinstance(stage, ConvStage) and weights is not None:
                stage.convolution.run(result, corner, x, weights, stage.relu, stage.pool)
            elif isinstance(stage, PoolStage):
                _pool(stage, result, corner, x, self._rooms[index].corner)
        for group in range(groups):
            images_from_lanes(out[group * LANES : (group + 1) * LANES], parts[-1][group], (0, 0))


def _room(stage: Stage) -> Room:
    if isinstance(stage, ConvStage):
        return stage.convolution.room
    return Room(stage.source[0], stage.source[1], (0, 0))


def _inputs(stage: Stage) -> int:
    """Channels of a stage's input, those that are constant included."""
    return int(stage.op.kernel.shape[2]) if isinstance(stage, ConvStage) else int(stage.source[2])


def _pool(stage: PoolStage, out: FloatArray, corner: Pair, x: FloatArray, source: Pair) -> None:
    from bprune.engines.native.kernels_images import pool_lanes

    op = stage.op
    window, strides = (op.window[0], op.window[1]), (op.strides[0], op.strides[1])
    size, out_size = (stage.source[0], stage.source[1]), (stage.shape[0], stage.shape[1])
    pads = (op.pads[0][0], op.pads[1][0])
    for place, pictures in zip(out, x, strict=True):
        given = place[: stage.shape[2]]
        pool_lanes(
            given, corner, out_size, pictures, source, size, window, strides, pads, op.pooling is Pooling.AVERAGE
        )


def _describe(stage: ConvStage) -> str:
    pooled = ", pooled at once" if stage.pool != (1, 1) else ""
    return f"{stage.op.layer or stage.op.name}: {stage.convolution.describe}{pooled}"


def stages_of(program: Program, op: Conv, seed: int, narrow: frozenset[str]) -> tuple[list[Stage], set[str], str]:
    """The convolutions and poolings from a convolution on that are read by the next alone.

    Args:
        program: The program.
        op: A two-dimensional convolution.
        seed: The run's seed.
        narrow: The convolutions that are computed elsewhere.

    Returns:
        The stages, the tensors that they make, and the last of these.
    """
    stages: list[Stage] = []
    made: list[str] = []
    following: Op | None = op
    while following is not None and following.name not in narrow:
        if isinstance(following, Conv) and len(following.strides) == 2:
            stage, names = _conv_stage(program, following, seed)
        elif isinstance(following, Pool) and len(following.window) == 2:
            names = [following.name]
            stage = PoolStage(following, program.shapes[following.inputs[0]], program.shapes[following.name])
        else:
            break
        stages.append(stage)
        made += names
        following = only_reader(program, made[-1])
    return stages, set(made), made[-1]


def _conv_stage(program: Program, op: Conv, seed: int) -> tuple[Stage, list[str]]:
    """A convolution with its relu, and the pooling behind it if it can be done at once."""
    convolution, made, window = choose_convolution(seed, op, program), [op.name], (1, 1)
    relu = relu_after(program, op.name)
    if relu is not None:
        made.append(relu)
    pool = only_reader(program, made[-1])
    size = program.shapes[op.name].spatial
    if isinstance(pool, Pool) and len(pool.window) == 2 and can_pool(convolution, pool, size):
        made.append(pool.name)
        window = (int(pool.window[0]), int(pool.window[1]))
    return ConvStage(op, convolution, relu is not None, window, program.shapes[made[-1]]), made
