"""The engine `native`: run a lowered program on the CPU with kernels compiled for it.

Noise is keyed as `noise.py` says, and examples run in blocks of a fixed size, so that a draw of an example depends on
the seed, the draw, the example's number and the weights alone. Work is divided into blocks of examples and groups of
draws, which run in threads; each thread uses one core.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any

import numpy as np
from threadpoolctl import ThreadpoolController

from bprune.arrays import AnyArray, FloatArray, is_same
from bprune.case.output import Output
from bprune.engines.base import MOST_DRAWS, Draws, Sampling
from bprune.engines.head import check_finite, class_probabilities, predicted_values
from bprune.engines.machine import bfloat16_speed, usable_cores
from bprune.engines.native.block import Block
from bprune.engines.native.convolutions import narrow_convolutions
from bprune.engines.native.dense import ChainStep
from bprune.engines.native.noise import DrawNoise
from bprune.engines.native.pictures import PictureStep
from bprune.engines.native.plan import plan_steps
from bprune.engines.native.rest import GraphStep
from bprune.engines.tensorflow import Precision
from bprune.engines.tensorflow.blocks import example_bytes
from bprune.engines.tensorflow.emit import emit
from bprune.engines.tensorflow.precision import wide_layers
from bprune.engines.tensorflow.split import split
from bprune.lowering.program import Program, weights_of

__all__ = ["NativeEngine"]

_TASK_BYTES = 1 << 21
"""What the tensors of one task take at most, where it holds several draws: a core's cache."""
_TASKS = 4
"""Tasks of a core in a call, at least, where there are so many draws."""
_LARGEST_BLOCK = 1024
_LARGEST_CHAIN_BLOCK = 2048
"""Examples of a block of dense layers alone, whose weights are drawn once per block."""
_BLOCK_BYTES = 8 << 20
_CALLED_BLOCK_BYTES = 128 << 20
"""What the widest tensor of a block takes at most: where TensorFlow runs layers, its call and the hand-over of weights
are paid for every block."""
_SMALLEST_BLOCK = 16
_MOST_CHAIN_DRAWS = 256
"""Draws of a call, at most, of dense layers alone, which are quick."""

_Fixed = tuple[dict[str, AnyArray], dict[str, tuple[FloatArray, ...]]]
"""The tensors of a block that are the same in every draw, and what chains computed of them."""


class NativeEngine:
    """A program, ready to draw.

    Args:
        program: The program.
        kind: What its output holds.
        seed: Seed of the noise, at least 0.
        sampling: PER_EXAMPLE, or WEIGHTS for one set of weights per draw.
        threads: How many cores to use; None takes those that this process may use.
        precision: BFLOAT16 allows it for convolutions that TensorFlow computes faster so, on CPUs that have it.

    Attributes:
        precision: BFLOAT16 where a convolution is computed in it.
        narrow: Names of these convolutions.
        antithetic: Whether the draws 2k and 2k + 1 take the same noise with opposite signs; set it before drawing.
    """

    name = "native"

    def __init__(
        self,
        program: Program,
        kind: Output,
        seed: int,
        sampling: Sampling = Sampling.PER_EXAMPLE,
        threads: int | None = None,
        precision: Precision = Precision.FLOAT32,
    ) -> None:
        self._program, self._kind = program, kind
        self._parts = split(program)
        self.narrow: frozenset[str] = frozenset()
        if precision is Precision.BFLOAT16:
            self.narrow = narrow_convolutions(program, wide_layers(program), bfloat16_speed())
        self.precision = Precision.BFLOAT16 if self.narrow else Precision.FLOAT32
        self.steps = plan_steps(program, self._parts.random, self._parts.passed, seed, sampling, self.narrow)
        self._chains = [step for step in self.steps if isinstance(step, ChainStep)]
        self.sampling = Sampling.PER_EXAMPLE if any(step.is_cached for step in self._chains) else Sampling.WEIGHTS
        self.antithetic = False
        self.threads = threads or usable_cores()
        self._pool = ThreadPoolExecutor(self.threads)
        self._libraries = ThreadpoolController()
        self._known: tuple[list[int], AnyArray, list[_Fixed]] | None = None
        shape = program.shapes[program.outputs[0]]
        self._has_softmax = kind is Output.LOGITS and len(shape) == 1
        self.output_size = max(shape.size, 2) if kind is not Output.PREDICTION else shape.size
        self._widest = self._widest_kept()
        last = self.steps[-1] if self.steps else None
        self._last = last if self._has_softmax and isinstance(last, ChainStep) else None
        self._is_chain = self._last is not None and len(self.steps) == 1
        calls = any(isinstance(step, GraphStep) and step.has_layers for step in self.steps)
        self._block_bytes = _CALLED_BLOCK_BYTES if calls else _BLOCK_BYTES
        self.most_draws = _MOST_CHAIN_DRAWS if self._is_chain else MOST_DRAWS
        self.block = self._fitting_block()

    def _widest_kept(self) -> int:
        """The size of the largest tensor of an example that is ever kept as a whole."""
        hidden = {name for step in self.steps if isinstance(step, (ChainStep, PictureStep)) for name in step.hidden}
        return max(item.size for name, item in self._program.shapes.items() if name not in hidden)

    def describe(self) -> list[str]:
        """How each layer is drawn, a line each."""
        lines = [step.describe for step in self.steps if step.describe]
        return [*lines, f"{self.threads} thread{'s' if self.threads > 1 else ''}"]

    def prepare(self, examples: int) -> None:
        """Choose the size of blocks for a run; see `bprune.engines.base.Engine.prepare`."""
        fitting = self._fitting_block()
        count = -(-max(examples, 1) // fitting)
        self.block = -(-max(examples, 1) // count)

    def _fitting_block(self) -> int:
        if self._is_chain:
            return _LARGEST_CHAIN_BLOCK
        return max(2, min(self._block_bytes // (4 * self._widest), _LARGEST_BLOCK))

    def example_bytes(self) -> int:
        """The bytes per example that stay from draw to draw."""
        return example_bytes(self._program, self._parts.passed)

    def draw(self, inputs: AnyArray, draws: range, first: int = 0) -> Draws:
        """Run some draws; see `bprune.engines.base.Engine.draw`."""
        return self._draw(inputs, draws, np.arange(first, first + len(inputs)), self.block)

    def draw_some(self, inputs: AnyArray, draws: range, numbers: AnyArray) -> Draws:
        """Run some draws of some examples of a run, in any order; see `bprune.engines.base.Engine.draw`.

        An example's draws are those that it has in any other company, up to rounding in products: the last block is
        not filled up to the size of the others, so that a few examples cost little.

        Args:
            inputs: `[example, ...]`, of the shape and dtype of the case's input.
            draws: The numbers of the draws to run.
            numbers: The numbers of these examples in the whole run, `[example]`.
        """
        return self._draw(inputs, draws, numbers, _SMALLEST_BLOCK)

    def _draw(self, inputs: AnyArray, draws: range, numbers: AnyArray, least: int) -> Draws:
        """Draws of blocks that are filled up to a power of two of examples, to at least `least`."""
        examples = len(inputs)
        shapes = [(self.output_size,)] if self._has_softmax else map(self._program.shapes.get, self._program.outputs)
        outputs = [np.empty((len(draws), examples, *(shape or ())), np.float32) for shape in shapes]
        with self._libraries.limit(limits=1, user_api="blas"):
            starts = range(0, examples, self.block)
            sizes = [min(self.block, max(least, _next_power(examples - start))) for start in starts]
            filled = [
                _fill(numbers[start : start + self.block], size) for start, size in zip(starts, sizes, strict=True)
            ]
            prepared = self._prepared(inputs, sizes)
            group = self._draws_at_once(len(draws), len(starts))
            tasks = [
                self._pool.submit(
                    self._task, start, filled[i], prepared[i], draws[begin : begin + group], begin, outputs
                )
                for begin in range(0, len(draws), group)
                for i, start in enumerate(starts)
            ]
            try:
                wait(tasks)
            except BaseException:  # a signal: what has not begun is not, so that the process ends soon
                for task in tasks:
                    task.cancel()
                raise
            for task in tasks:
                task.result()
        return self._head(outputs, examples)

    def _prepared(self, inputs: AnyArray, sizes: list[int]) -> list[_Fixed]:
        """What is the same in every draw, for every block; that of the last call if its inputs were the same.

        Inputs that cannot be written are the same if they are in the same place; others are compared, and so copied.
        """
        known = self._known
        if known is None or known[0] != sizes or not is_same(known[1], inputs):
            starts = range(0, len(inputs), self.block)
            parts = [_fill(inputs[start : start + self.block], size) for start, size in zip(starts, sizes, strict=True)]
            known = (
                sizes,
                inputs.copy() if inputs.flags.writeable else inputs,
                list(self._pool.map(self._fixed, parts)),
            )
            self._known = known
        return known[2]

    def _draws_at_once(self, draws: int, blocks: int) -> int:
        """Draws of a task: as many as fit in a core's cache, while no core waits long for the others at the end."""
        fitting = draws if self._is_chain else max(1, _TASK_BYTES // (4 * self._widest * self.block))
        parts = min(draws, -(-_TASKS * self.threads // blocks))
        return max(1, min(fitting, -(-draws // parts)))

    def _fixed(self, inputs: AnyArray) -> _Fixed:
        """What is the same in every draw of a block."""
        tensors: dict[str, Any] = {self._program.input: inputs}
        for op in self._parts.fixed:
            weights = {field: item.mean().loc for field, item in weights_of(op).items()}
            tensors[op.name] = np.asarray(emit(op, [tensors[name] for name in op.inputs], weights))
        fixed = {name: np.asarray(tensors[name], np.float32) for name in self._parts.passed}
        with np.errstate(all="ignore"):  # what is not finite is found at the end, and told once
            return fixed, {step.name: step.prepare(fixed) for step in self._chains}

    def _task(
        self,
        start: int,
        numbers: AnyArray,
        prepared: _Fixed,
        draws: range,
        begin: int,
        outputs: Sequence[FloatArray],
    ) -> None:
        """Some draws of one block, written to their place in the outputs."""
        noises = [DrawNoise.of(draw, antithetic=self.antithetic) for draw in draws]
        block = Block(numbers.astype(np.uint32), noises, prepared[0], prepared[1], {})
        with np.errstate(all="ignore"):
            for step in self.steps[:-1] if self._last else self.steps:
                step.run(block)
        count = min(len(numbers), outputs[0].shape[1] - start)
        if self._last:
            wrong = self._last.run_last(block, outputs[0], begin, start, count)
            if wrong >= 0:
                check_finite(draws[wrong], outputs[0][begin + wrong, start : start + count])
            return
        for index, draw in enumerate(draws):
            found = [block.of_draw(name, index)[:count] for name in self._program.outputs]
            check_finite(draw, *found)
            places = [output[begin + index, start : start + count] for output in outputs]
            if self._has_softmax:
                _softmax(places[0], found[0])
                continue
            for place, values in zip(places, found, strict=True):
                place[...] = values

    def _head(self, outputs: Sequence[FloatArray], examples: int) -> Draws:
        values, *rest = outputs
        if self._has_softmax:
            return Draws(values)

        def each(items: FloatArray) -> FloatArray:
            if self._kind is Output.PREDICTION:
                return np.stack([predicted_values(item, examples) for item in items])
            return np.stack([class_probabilities(item, examples, self._kind) for item in items])

        return Draws(each(values), each(rest[0]) if rest and self._kind is Output.PREDICTION else None)


def _next_power(number: int) -> int:
    return 1 << (number - 1).bit_length()


def _fill(items: AnyArray, size: int) -> AnyArray:
    """Items and then zeros, `[size, ...]`."""
    missing = size - len(items)
    return np.concatenate([items, np.zeros((missing, *items.shape[1:]), items.dtype)]) if missing else items


def _softmax(out: FloatArray, logits: AnyArray) -> None:
    """Probabilities `[example, class]` of logits `[example, class]`, or of one logit, that of the second of two."""
    from bprune.engines.native.kernels_softmax import softmax_statistics

    nothing = np.zeros(out.shape)
    rows = np.require(logits, np.float32, ["C", "W"])
    softmax_statistics(rows, out, nothing, np.zeros(out.shape), np.zeros(len(out)))
