"""The engine `tensorflow`: run a lowered program with TensorFlow operations, on whatever device TensorFlow sees.

A draw is one set of weights for all examples. Noise is keyed (see `noise.py`), and examples run in blocks of a fixed
size, filled up with zeros, so that a draw of an example depends on neither the batch size, nor on which draws and
examples are run beside it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bprune.arrays import AnyArray, FloatArray
from bprune.case.output import Output
from bprune.engines.base import MOST_DRAWS, Draws, Sampling
from bprune.engines.head import check_finite, class_probabilities, predicted_values
from bprune.engines.tensorflow.blocks import block_size, example_bytes
from bprune.engines.tensorflow.emit import emit, fold_constant, narrowed
from bprune.engines.tensorflow.noise import noise_keys
from bprune.engines.tensorflow.precision import Precision, wide_layers
from bprune.engines.tensorflow.sampling import ProgramWeights
from bprune.engines.tensorflow.split import split
from bprune.errors import EngineError
from bprune.lowering.ops import Op
from bprune.lowering.program import Program, weights_of

__all__ = ["TensorFlowEngine"]

_PARALLEL_DRAWS = 2


class TensorFlowEngine:
    """A program, ready to draw.

    Args:
        program: The program.
        kind: What its output holds.
        seed: Seed of the noise, at least 0.
        precision: How products are computed.
        block: Examples per block; None chooses with `prepare`, or with the first draw.

    Raises:
        UnsupportedError: If a classifier gives more than one row per example.

    Attributes:
        wide: Names of the operations whose products are float32 whatever the precision is.
        traces: How often TensorFlow traced what a draw does.
    """

    name = "tensorflow"
    most_draws = MOST_DRAWS
    sampling = Sampling.WEIGHTS

    def __init__(
        self,
        program: Program,
        kind: Output,
        seed: int,
        precision: Precision = Precision.FLOAT32,
        block: int | None = None,
    ) -> None:
        self.precision = precision
        self.wide = wide_layers(program) if precision is Precision.BFLOAT16 else frozenset(program.by_name)
        self._program, self._kind, self._seed = program, kind, seed
        self._parts = split(program)
        self._weights = ProgramWeights(program)
        shape = program.shapes[program.outputs[0]]
        if kind is not Output.PREDICTION and len(shape) > 1:
            class_probabilities(np.zeros((1, *shape)), 1, kind)  # raises
        self.output_size = max(shape.size, 2) if kind is not Output.PREDICTION else shape.size
        self._built: dict[tuple[int, str], tuple[Any, Any]] = {}
        self.traces = 0
        self.block = block or block_size(program, None)
        self._has_block = block is not None

    def prepare(self, examples: int) -> None:
        """Choose the size of blocks for a run; see `bprune.engines.base.Engine.prepare`."""
        if not self._has_block:
            self.block, self._has_block = block_size(self._program, examples), True

    def example_bytes(self) -> int:
        """The bytes per example that stay from draw to draw; what a draw needs is bounded by the size of blocks."""
        return example_bytes(self._program, self._parts.passed)

    def draw(self, inputs: AnyArray, draws: range, first: int = 0) -> Draws:
        """Run some draws; see `bprune.engines.base.Engine.draw`."""
        import tensorflow as tf

        examples = len(inputs)
        try:
            outputs = [np.asarray(item) for item in self._run(inputs, draws)]
        except tf.errors.ResourceExhaustedError as error:
            raise EngineError(
                f"{self.block} examples at a time do not fit in memory", hint="Run with --engine graph."
            ) from error
        except tf.errors.OpError as error:
            raise EngineError(f"TensorFlow cannot run the program: {str(error).splitlines()[0]}") from error
        parts = [item.reshape(len(draws), -1, *item.shape[3:])[:, :examples] for item in outputs]
        for number, *rows in zip(draws, *parts, strict=True):
            check_finite(number, *rows)
        return self._head(parts, examples)

    def at_zero_scale(self, inputs: AnyArray) -> list[AnyArray]:
        """The program's raw outputs when all scales are 0 (law 4).

        Args:
            inputs: `[example, ...]`.

        Returns:
            `[example, ...]` of every output, float32.
        """
        tensors: dict[str, Any] = {self._program.input: inputs}
        for op in self._program.ops:
            weights = {field: item.mean().loc for field, item in weights_of(op).items()}
            tensors[op.name] = emit(op, [tensors[name] for name in op.inputs], weights)
        return [np.asarray(tensors[name], np.float32) for name in self._program.outputs]

    def _head(self, outputs: Sequence[AnyArray], examples: int) -> Draws:
        if self._kind is Output.LOGITS:  # the softmax was part of the graph
            return Draws(np.ascontiguousarray(outputs[0]))

        def each(values: AnyArray) -> FloatArray:
            if self._kind is Output.PREDICTION:
                return np.stack([predicted_values(item, examples) for item in values])
            return np.stack([class_probabilities(item, examples, self._kind) for item in values])

        values, *rest = outputs
        return Draws(each(values), each(rest[0]) if rest else None)

    def _run(self, inputs: AnyArray, draws: range) -> Sequence[Any]:
        """Raw outputs, `[draw, block, example, ...]`."""
        import tensorflow as tf

        self.prepare(len(inputs))
        size = self.block
        signature = (size, inputs.dtype.name)
        if signature not in self._built:
            self._built = {signature: self._functions(inputs.dtype, size)}
        fixed, random = self._built[signature]
        count = max(-(-len(inputs) // size), 1)
        padding = count * size - len(inputs)
        if padding:
            inputs = np.concatenate([inputs, np.zeros((padding, *inputs.shape[1:]), inputs.dtype)])
        blocks = tf.constant(inputs.reshape(count, size, *inputs.shape[1:]))
        passed = fixed(blocks) if self._parts.fixed else [blocks]
        keys = tf.constant(noise_keys(self._seed, draws, self._weights.streams))
        return random(passed, keys)  # type: ignore[no-any-return]

    def _functions(self, dtype: Any, size: int) -> tuple[Any, Any]:
        """The two parts as functions of blocks, traced once for a size of blocks."""
        import tensorflow as tf

        source = tf.TensorSpec([None, size, *self._program.input_shape], dtype)
        specs = [tf.TensorSpec(item.shape, item.dtype) for item in self._passed_specs(source.dtype, size)]
        keys = tf.TensorSpec([None, len(self._weights.streams), 2], tf.uint64)
        fixed = tf.function(self._fixed_blocks, autograph=False).get_concrete_function(source)
        return fixed, tf.function(self._random_draws, autograph=False).get_concrete_function(specs, keys)

    def _fixed_blocks(self, blocks: Any) -> list[Any]:
        """What is the same in every draw, `[block, example, ...]` of each passed tensor."""
        import tensorflow as tf

        weights = {op.name: self._draw_weights(op, None) for op in self._parts.fixed}

        def one(index: Any) -> list[Any]:
            found = self._block({self._program.input: blocks[index]}, self._parts.fixed, weights)
            return [tf.cast(found[spec.name], spec.dtype) for spec in specs]

        size = int(blocks.shape[1])
        specs = self._passed_specs(blocks.dtype, size)
        return _map(one, _length(blocks), [tf.TensorSpec(item.shape[1:], item.dtype) for item in specs], parallel=1)

    def _random_draws(self, passed: Sequence[Any], keys: Any) -> list[Any]:
        """The outputs of all draws, `[draw, block, example, ...]`."""
        import tensorflow as tf

        self.traces += 1  # runs when TensorFlow traces, not when it runs
        size = int(passed[0].shape[1])
        shapes = [self._finished_shape(name) for name in self._program.outputs]

        def one_draw(draw: Any) -> list[Any]:
            weights = {op.name: self._draw_weights(op, keys[draw]) for op in self._parts.random}

            def one_block(index: Any) -> list[Any]:
                found = {name: item[index] for name, item in zip(self._parts.passed, passed, strict=True)}
                found = self._block(found, self._parts.random, weights)
                return [self._finished(found[name]) for name in self._program.outputs]

            specs = [tf.TensorSpec([size, *shape], tf.float32) for shape in shapes]
            return _map(one_block, _length(passed[0]), specs, parallel=1)

        specs = [tf.TensorSpec([None, size, *shape], tf.float32) for shape in shapes]
        return _map(one_draw, _length(keys), specs, parallel=_PARALLEL_DRAWS)

    def _passed_specs(self, dtype: Any, size: int) -> list[Any]:
        """What the first part hands to the second."""
        import tensorflow as tf

        program = self._program
        return [
            tf.TensorSpec([None, size, *program.shapes[name]], dtype if name == program.input else tf.float32, name)
            for name in self._parts.passed
        ]

    def _finished_shape(self, name: str) -> tuple[int, ...]:
        """The shape of one example of an output as it leaves the graph."""
        shape = self._program.shapes[name]
        return tuple(shape) if self._kind is not Output.LOGITS else (*shape.spatial, max(shape.units, 2))

    def _finished(self, output: Any) -> Any:
        """An output as it leaves the graph: probabilities where it holds logits."""
        import tensorflow as tf

        output = tf.cast(output, tf.float32)
        if self._kind is not Output.LOGITS:
            return output
        columns = tf.reshape(output, [-1, 1]) if output.shape.rank == 1 else output
        if columns.shape[-1] == 1:
            columns = tf.concat([tf.zeros_like(columns), columns], -1)
        return tf.nn.softmax(columns)

    def _draw_weights(self, op: Op, keys: Any) -> Mapping[str, Any]:
        """The weights of an operation in one draw, as `emit` takes them."""
        weights = fold_constant(op, self._weights.emit(op, keys))
        return narrowed(op, weights) if "kernel" in weights and op.name not in self.wide else weights

    def _block(
        self, tensors: Mapping[str, Any], ops: Sequence[Op], weights: Mapping[str, Mapping[str, Any]]
    ) -> dict[str, Any]:
        found = dict(tensors)
        for op in ops:
            found[op.name] = emit(op, [found[name] for name in op.inputs], weights[op.name])
        return found


def _length(items: Any) -> Any:
    import tensorflow as tf

    return tf.shape(items)[0]


def _map(function: Any, count: Any, specs: Sequence[Any], *, parallel: int) -> list[Any]:
    """The results of `function(0 ... count - 1)`, stacked; `specs` says what one of them is."""
    import tensorflow as tf

    return tf.map_fn(  # type: ignore[no-any-return]
        function, tf.range(count), fn_output_signature=list(specs), parallel_iterations=parallel
    )
