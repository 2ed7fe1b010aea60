"""Single operations and whole worlds in TensorFlow against the plain oracle."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from bprune.arrays import AnyArray
from bprune.engines.tensorflow.emit import emit, fold_constant, narrowed
from bprune.lowering.ops import Activation, Conv, DepthwiseConv, Function, Pads, Pool, Pooling, Reduce, Reduction
from bprune.lowering.program import Program, weights_of
from bprune.lowering.shapes import Shape
from bprune.lowering.weights import Weights
from tests.lowering.programs import WORLDS, Builder, examples
from tests.lowering.reference import run_program, run_tensors


def run_eagerly(program: Program, inputs: AnyArray) -> list[AnyArray]:
    """The program at scales of 0."""
    tensors: dict[str, Any] = {program.input: inputs}
    for op in program.ops:
        weights = {field: item.mean().loc for field, item in weights_of(op).items()}
        tensors[op.name] = emit(op, [tensors[name] for name in op.inputs], weights)
    return [np.asarray(tensors[name]) for name in program.outputs]


def check(program: Program, *, rtol: float = 2e-5, atol: float = 2e-6) -> None:
    inputs = examples(program, 3)
    for found, expected in zip(run_eagerly(program, inputs), run_program(program, inputs), strict=True):
        assert found.shape == expected.shape
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected, rtol=rtol, atol=atol)


@pytest.mark.parametrize("world", WORLDS)
def test_worlds(world: str) -> None:
    check(WORLDS[world](0))


def test_every_operation_is_in_a_world() -> None:
    from bprune.lowering import ops

    used = {type(op).__name__ for make in WORLDS.values() for op in make(0).ops}
    assert used == set(ops.__all__) - {"Function", "Op", "Pads", "Pooling", "Reduction"}


@pytest.mark.parametrize("function", [item for item in Function if item is not Function.LEAKY_RELU])
def test_functions(function: Function) -> None:
    b = Builder(5)
    x = b.act("input", Function.ABS) if function in {Function.LOG, Function.SQRT, Function.RSQRT} else "input"
    check(b.build(b.act(x, function)))


@pytest.mark.parametrize("alpha", [0.0, 0.2, 1.5])
def test_leaky_relu(alpha: float) -> None:
    b = Builder(5)
    check(b.build(b.act("input", Function.LEAKY_RELU, alpha)))


@pytest.mark.parametrize(("spatial", "window"), [((9,), (3,)), ((7, 8), (3, 2)), ((5, 6, 7), (2, 3, 2))])
@pytest.mark.parametrize("strides", [1, 2])
@pytest.mark.parametrize("dilation", [1, 2])
@pytest.mark.parametrize("pads", [(0, 0), (2, 0), (1, 2)])
def test_convolutions(
    spatial: tuple[int, ...], window: tuple[int, ...], strides: int, dilation: int, pads: tuple[int, int]
) -> None:
    b = Builder(*spatial, 3)
    axes = len(spatial)
    b.conv("input", 4, window=window, strides=(strides,) * axes, pads=(pads,) * axes, dilation=dilation)
    check(b.build(b.ops[-1].name))


@pytest.mark.parametrize("strides", [(1, 1), (2, 2), (1, 2), (4, 2)])
@pytest.mark.parametrize("dilations", [(1, 1), (2, 1), (2, 3)])
@pytest.mark.parametrize("pads", [((0, 0), (0, 0)), ((1, 2), (0, 3))])
@pytest.mark.parametrize("multiplier", [1, 2])
def test_depthwise_convolutions(
    strides: tuple[int, int], dilations: tuple[int, int], pads: Pads, multiplier: int
) -> None:
    b = Builder(9, 10, 3)
    kernel = Weights(b.rng.normal(size=(3, 2, 3, multiplier)).astype(np.float32))
    b.put(DepthwiseConv("y", ("input",), kernel, None, strides, pads, dilations))
    check(b.build("y"))


@pytest.mark.parametrize("pooling", Pooling)
@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize("pads", [(0, 0), (1, 1), (0, 1), (1, 0)])
@pytest.mark.parametrize("strides", [1, 2])
def test_pooling(pooling: Pooling, axes: int, pads: tuple[int, int], strides: int) -> None:
    """Negative inputs, so that a padding that is chosen or counted shows."""
    b = Builder(*(5, 6, 4)[:axes], 2)
    x = b.affine("input", shift=-9.0)
    b.put(Pool("y", (x,), pooling, (3, 2, 2)[:axes], (strides,) * axes, (pads,) * axes))
    check(b.build("y"))


@pytest.mark.parametrize("reduction", Reduction)
@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("axes", [(0,), (1, 2), (0, 1, 2)])
def test_reductions(reduction: Reduction, keep: bool, axes: tuple[int, ...]) -> None:
    b = Builder(3, 4, 5)
    b.put(Reduce("y", ("input",), reduction, axes, keep))
    check(b.build("y"))


def test_broadcasting_of_tensors_with_fewer_axes() -> None:
    b = Builder(4, 5, 3)
    gate = b.act(b.reduce("input"), Function.SIGMOID)
    check(b.build(b.multiply("input", gate), b.add(gate, "input")))


def test_a_dense_layer_on_spatial_axes_with_constants_that_differ_between_positions() -> None:
    from bprune.lowering.ops import Dense

    b = Builder(4, 2)
    constant = b.rng.normal(size=(4, 3)).astype(np.float32)
    for bias in (None, Weights(np.asarray([0.5, -0.25, 1.0], np.float32))):
        name = f"y{bias is None}"
        b.put(Dense(name, ("input",), Weights(b.rng.normal(size=(5, 3)).astype(np.float32)), bias, constant))
    check(b.build("yTrue", "yFalse"))


def test_a_convolution_that_reads_constants_alone() -> None:
    b = Builder(4, 5, 2)
    none = b.select("input")
    constant = b.rng.normal(size=(4, 5, 3)).astype(np.float32)
    kernel = Weights(b.rng.normal(size=(3, 3, 3, 4)).astype(np.float32))
    b.put(Conv("y", (none,), kernel, None, (1, 2), ((1, 1), (0, 2)), (1, 1), constant))
    check(b.build("y"))


def test_constants_are_folded_once() -> None:
    op = next(op for op in WORLDS["with_constants"](0).ops if isinstance(op, Conv))
    once = fold_constant(op, {"kernel": op.kernel.loc})
    assert once["kernel"].shape[-2] == 2
    assert once["bias"].shape == (4, 5, 3)
    again: Mapping[str, Any] = fold_constant(op, once)
    assert again is once


def test_in_a_graph_of_its_own() -> None:
    """The exporter of compacted cases emits into a graph, with an unknown number of examples."""
    import tensorflow as tf

    program = WORLDS["residual"](0)
    inputs = examples(program, 3)
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        source = tf.compat.v1.placeholder(tf.float32, [None, *program.input_shape])
        tensors = {program.input: source}
        for op in program.ops:
            weights = {field: tf.constant(item.mean().loc) for field, item in weights_of(op).items()}
            tensors[op.name] = emit(op, [tensors[name] for name in op.inputs], weights)
            assert tensors[op.name].shape.as_list() == [None, *program.shapes[op.name]]
        found = session.run(tensors[program.outputs[0]], {source: inputs})
    np.testing.assert_allclose(found, run_program(program, inputs)[0], rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("world", WORLDS)
def test_bfloat16_kernels_give_results_of_bfloat16_accuracy(world: str) -> None:
    import tensorflow as tf

    program = WORLDS[world](0)
    inputs = examples(program)
    expected = run_tensors(program, inputs)
    tensors: dict[str, Any] = {program.input: inputs}
    for op in program.ops:
        weights = fold_constant(op, {field: item.mean().loc for field, item in weights_of(op).items()})
        weights = narrowed(op, weights) if "kernel" in weights else weights
        alone = emit(op, [expected[name].astype(np.float32) for name in op.inputs], weights)
        tensors[op.name] = emit(op, [tensors[name] for name in op.inputs], weights)
        assert tensors[op.name].dtype in (tf.float32, tf.bfloat16)
        if "kernel" in weights:
            error = np.abs(np.asarray(alone, np.float64) - expected[op.name]).max() / np.abs(expected[op.name]).max()
            assert 1e-6 < error < 2e-2


def test_bfloat16_lasts_while_numbers_are_only_chosen_or_clipped() -> None:
    import tensorflow as tf

    b = Builder(6, 6, 2)
    x = b.conv("input", 4)
    clipped = b.flatten(b.pool(b.act(x)))
    summed = b.pool(x, Pooling.AVERAGE)
    b.conv("input", 4, bias="Normal")
    tensors: dict[str, Any] = {"input": examples(b.build(clipped))}
    for op in b.ops:
        weights = fold_constant(op, {field: item.mean().loc for field, item in weights_of(op).items()})
        weights = narrowed(op, weights) if "kernel" in weights else weights
        tensors[op.name] = emit(op, [tensors[name] for name in op.inputs], weights)
    assert tensors[x].dtype == tensors[clipped].dtype == tf.bfloat16
    assert tensors[summed].dtype == tf.float32
    assert tensors[b.ops[-1].name].dtype == tf.float32, "the noise of its bias is not rounded"


def test_shapes_of_one_example_survive_no_axes() -> None:
    program = Program("x", Shape(()), (Activation("y", ("x",), Function.SQUARE),), ("y",))
    np.testing.assert_array_equal(run_eagerly(program, np.asarray([1.0, 3.0], np.float32))[0], [1.0, 9.0])
