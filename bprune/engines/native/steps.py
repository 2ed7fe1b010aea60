"""A program's random part as the steps that the engine `native` takes: dense layers of its own, the rest as functions.

Operations without a kernel of ours run in TensorFlow, as many in a row as there are, compiled into one function.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from bprune.arrays import AnyArray, FloatArray
from bprune.engines.base import Sampling
from bprune.engines.native.layers import Moments, MomentsLayer, ProductLayer, WeightDraw, unit_ids
from bprune.engines.tensorflow.emit import emit
from bprune.lowering.ops import Activation, Affine, Dense, Function, Op, Reshape
from bprune.lowering.program import Program, weights_of

__all__ = ["Block", "Step", "plan_steps"]

_LEAST_FAN_IN = 40
"""Inputs of a layer from which its cached moments are cheaper than its product: a normal costs as much as 40
multiply-adds."""


@dataclass
class Block:
    """Some draws of a block of examples, while they are made.

    Attributes:
        examples: Numbers of the examples in the run, `[example]`, uint32.
        draws: Numbers of the draws.
        fixed: Tensors that are the same in every draw, `[example, ...]`.
        moments: The cached moments of layers, by the layer's tensor.
        random: Tensors that differ, `[draw, example, ...]`, float32.
    """

    examples: AnyArray
    draws: range
    fixed: Mapping[str, AnyArray]
    moments: Mapping[str, Moments]
    random: dict[str, FloatArray]

    def rows(self, name: str) -> AnyArray:
        """A tensor with draws and examples in one axis, `[draw * example, ...]`."""
        if name in self.random:
            values = self.random[name]
            return values.reshape(-1, *values.shape[2:])
        values = self.fixed[name]
        return np.broadcast_to(values, (len(self.draws), *values.shape)).reshape(-1, *values.shape[1:])

    def of_draw(self, name: str, index: int) -> AnyArray:
        """A tensor in one of the draws, `[example, ...]`."""
        return self.random[name][index] if name in self.random else self.fixed[name]

    def put(self, name: str, rows: AnyArray) -> None:
        """Keep a tensor that came as `[draw * example, ...]`."""
        self.random[name] = rows.reshape(len(self.draws), len(self.examples), *rows.shape[1:])


class Step(Protocol):
    """A part of a program's random part.

    Attributes:
        describe: What it is, in a few words.
    """

    describe: str

    def run(self, block: Block) -> None:
        """Make the step's tensors from those that are there."""
        ...


class MomentsStep:
    """A dense layer from cached moments."""

    def __init__(self, seed: int, op: Dense, name: str, relu: bool) -> None:
        self.op, self.layer = op, MomentsLayer(seed, op)
        self._name, self._relu = name, relu
        self.describe = f"{op.layer or op.name}: normals with cached moments, fresh for each example"

    def run(self, block: Block) -> None:
        """See `Step.run`."""
        moments = block.moments[self.op.name]
        out = np.empty((len(block.draws), *moments.mean.shape), np.float32)
        for index, number in enumerate(block.draws):
            self.layer.draw(moments, block.examples, number, out[index], self._relu)
        block.random[self._name] = out


class ProductStep:
    """A dense layer by a product with weights that all examples of a draw share."""

    def __init__(self, seed: int, op: Dense, name: str, relu: bool) -> None:
        self._op, self._layer = op, ProductLayer(seed, op)
        self._name, self._relu = name, relu
        self.describe = f"{op.layer or op.name}: drawn weights, one product for each draw"

    def run(self, block: Block) -> None:
        """See `Step.run`."""
        source = self._op.inputs[0]
        shape = block.of_draw(source, 0).shape[:-1]
        out = np.empty((len(block.draws), *shape, self._op.kernel.shape[1]), np.float32)
        for index, number in enumerate(block.draws):
            inputs = np.asarray(block.of_draw(source, index), np.float32)
            rows = inputs.reshape(-1, inputs.shape[-1])
            self._layer.draw(rows, number, out[index].reshape(-1, out.shape[-1]), self._relu)
        block.random[self._name] = out


class ArrayStep:
    """An operation that NumPy does at once."""

    def __init__(self, op: Op) -> None:
        self._op = op
        self.describe = ""

    def run(self, block: Block) -> None:
        """See `Step.run`."""
        op, rows = self._op, block.rows(self._op.inputs[0])
        if isinstance(op, Reshape):
            block.put(op.name, rows.reshape(-1, *op.shape))
        elif isinstance(op, Affine):
            product = rows if op.gain is None else rows * np.asarray(op.gain, np.float32)
            block.put(op.name, product if op.shift is None else product + np.asarray(op.shift, np.float32))
        else:
            block.put(op.name, np.maximum(rows, np.float32(0.0)))

    @staticmethod
    def takes(op: Op) -> bool:
        """Whether an operation is one of these."""
        return isinstance(op, (Reshape, Affine)) or (isinstance(op, Activation) and op.function is Function.RELU)


class GraphStep:
    """Operations in a row that TensorFlow runs, as one compiled function.

    Args:
        seed: The run's seed.
        ops: The operations, in order.
        wanted: Their tensors that are read later, or are outputs.
    """

    def __init__(self, seed: int, ops: Sequence[Op], wanted: Sequence[str]) -> None:
        import tensorflow as tf

        self._ops, self._wanted = tuple(ops), tuple(wanted)
        made = {op.name for op in ops}
        self._read = tuple(dict.fromkeys(name for op in ops for name in op.inputs if name not in made))
        self._weights = {
            (op.name, field): WeightDraw(seed, weights) for op in ops for field, weights in weights_of(op).items()
        }
        self._run = tf.function(self._emit, autograph=False)
        layers = [getattr(op, "layer", "") or op.name for op in ops if weights_of(op)]
        self.is_heavy = bool(layers)
        self.describe = f"{', '.join(layers)}: drawn weights, TensorFlow's products" if layers else ""

    def _emit(self, inputs: Sequence[Any], weights: Sequence[Any]) -> list[Any]:
        tensors = dict(zip(self._read, inputs, strict=True))
        drawn: dict[str, dict[str, Any]] = {}
        for (name, field), value in zip(self._weights, weights, strict=True):
            drawn.setdefault(name, {})[field] = value
        for op in self._ops:
            tensors[op.name] = emit(op, [tensors[name] for name in op.inputs], drawn.get(op.name, {}))
        return [tensors[name] for name in self._wanted]

    def run(self, block: Block) -> None:
        """See `Step.run`."""
        import tensorflow as tf

        if not self._weights:
            results = self._run([tf.constant(block.rows(name)) for name in self._read], [])
            for name, values in zip(self._wanted, results, strict=True):
                block.put(name, np.asarray(values, np.float32))
            return
        parts: list[list[AnyArray]] = []
        for index, number in enumerate(block.draws):
            weights = [tf.constant(item.draw(number)) for item in self._weights.values()]
            inputs = [tf.constant(block.of_draw(name, index)) for name in self._read]
            parts.append([np.asarray(item, np.float32) for item in self._run(inputs, weights)])
        for name, values in zip(self._wanted, zip(*parts, strict=True), strict=True):
            block.random[name] = np.stack(values)


def plan_steps(
    program: Program, ops: Sequence[Op], fixed: Sequence[str], seed: int, sampling: Sampling
) -> tuple[Step, ...]:
    """Choose how each operation of the random part is run.

    Args:
        program: The program.
        ops: Its random part, in order.
        fixed: The tensors that are the same in every draw.
        seed: The run's seed.
        sampling: WEIGHTS for one set of weights per draw; PER_EXAMPLE allows what has the same law for each example.
    """
    steps: list[Step] = []
    waiting: list[Op] = []
    skip: set[str] = set()
    read_later = _readers(program)

    def flush() -> None:
        if waiting:
            made = {op.name for op in waiting}
            wanted = [name for name in made if name in program.outputs or read_later[name] - made]
            steps.append(GraphStep(seed, waiting, [op.name for op in waiting if op.name in wanted]))
            waiting.clear()

    for op in ops:
        if op.name in skip:
            continue
        if isinstance(op, Dense):
            flush()
            follower = _relu_after(program, op)
            if follower is not None:
                skip.add(follower)
            steps.append(_dense_step(op, follower, fixed, program, seed, sampling))
        elif ArrayStep.takes(op) and not waiting:
            steps.append(ArrayStep(op))
        else:
            waiting.append(op)
    flush()
    return tuple(steps)


def _readers(program: Program) -> dict[str, set[str]]:
    return {name: {op.name for op in users} for name, users in program.consumers.items()}


def _relu_after(program: Program, op: Dense) -> str | None:
    """The relu that is all that reads a layer, by its tensor."""
    users = program.consumers[op.name]
    if len(users) != 1 or op.name in program.outputs:
        return None
    user = users[0]
    return user.name if isinstance(user, Activation) and user.function is Function.RELU else None


def _dense_step(
    op: Dense, follower: str | None, fixed: Sequence[str], program: Program, seed: int, sampling: Sampling
) -> Step:
    name, relu = follower or op.name, follower is not None
    sampled = [item for item in (op.kernel, op.bias) if item is not None and item.is_sampled]
    cached = (
        sampling is Sampling.PER_EXAMPLE
        and op.inputs[0] in fixed
        and len(program.shapes[op.inputs[0]]) == 1
        and op.kernel.shape[0] >= _LEAST_FAN_IN
        and all(item.family == "Normal" for item in sampled)
        and unit_ids(op.kernel) is not None
    )
    return MomentsStep(seed, op, name, relu) if cached else ProductStep(seed, op, name, relu)
