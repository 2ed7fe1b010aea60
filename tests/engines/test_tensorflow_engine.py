"""The TensorFlow engine: the oracle's draws from the same noise, the same bits however the work is divided."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import special

from bprune.arrays import AnyArray
from bprune.case.output import Output
from bprune.engines.base import Draws, Sampling
from bprune.engines.tensorflow import Precision, TensorFlowEngine
from bprune.errors import SelfCheckError, UnsupportedError
from bprune.inference.run import choose_blocks
from bprune.lowering.ops import Function
from bprune.lowering.program import Program, weights_of, with_weights
from tests.engines.noise_oracle import keyed_noise
from tests.lowering.programs import WORLDS, Builder, examples, random_masks
from tests.lowering.reference import run_program

ROOT = Path(__file__).parents[2]
SEED = 11


def draw(program: Program, inputs: AnyArray, draws: range, kind: Output = Output.PREDICTION, run: int = 0) -> Draws:
    engine = TensorFlowEngine(program, kind, SEED)
    engine.prepare(run or len(inputs))
    return engine.draw(inputs, draws)


def masked(program: Program, kept: float) -> Program:
    masks = random_masks(program, kept, 1)
    ops = []
    for op in program.ops:
        parts = {
            field: item if item.stream is None else item.without(~masks[item.stream.posterior])
            for field, item in weights_of(op).items()
        }
        ops.append(with_weights(op, parts))
    return program.replaced(ops)


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("kept", [1.0, 0.3])
def test_draws_are_those_of_the_oracle_with_the_same_noise(world: str, kept: float) -> None:
    program = WORLDS[world](0)
    program = program if kept == 1.0 else masked(program, kept)
    inputs = examples(program, 5)
    found = draw(program, inputs, range(3, 6))
    for number, *parts in zip(range(3, 6), found.values, *([] if found.scale is None else [found.scale]), strict=True):
        expected = run_program(program, inputs, keyed_noise(program, SEED, number))
        for part, values in zip(parts, expected, strict=True):
            np.testing.assert_allclose(part, values.reshape(5, -1), rtol=2e-4, atol=2e-5)


def test_other_ids_take_other_noise() -> None:
    """Negative control of the comparison with the oracle: one exchanged pair of ids is seen."""
    program = WORLDS["dense_chain"](0)
    inputs = examples(program, 5)
    op = program.ops[0]
    kernel = weights_of(op)["kernel"]
    assert kernel.ids is not None
    ids = kernel.ids.copy()
    ids[0, 0], ids[1, 1] = ids[1, 1], ids[0, 0]
    altered = with_weights(op, {"kernel": type(kernel)(kernel.loc, kernel.scale, kernel.family, kernel.stream, ids)})
    other = program.replaced([altered, *program.ops[1:]])
    expected = run_program(other, inputs, keyed_noise(other, SEED, 0))[0]
    np.testing.assert_allclose(draw(other, inputs, range(1)).values[0], expected, rtol=2e-4, atol=2e-5)
    assert not np.allclose(draw(program, inputs, range(1)).values[0], expected, rtol=2e-4, atol=2e-5)


@pytest.mark.parametrize("world", ["dense_chain", "conv_chain", "residual", "separable"])
def test_draws_do_not_depend_on_how_the_work_is_divided(world: str) -> None:
    """Bit for bit: batches, ranges of draws, the order of the examples, what was drawn before."""
    program = WORLDS[world](0)
    inputs = examples(program, 21)
    engine = TensorFlowEngine(program, Output.PREDICTION, SEED, block=8)
    whole = engine.draw(inputs, range(20)).values
    np.testing.assert_array_equal(engine.draw(inputs, range(7, 8)).values[0], whole[7])
    for size in (1, 4, 13):
        parts = [engine.draw(inputs[i : i + size], range(20)).values for i in range(0, 21, size)]
        np.testing.assert_array_equal(np.concatenate(parts, 1), whole)
    order = np.random.default_rng(0).permutation(21)
    np.testing.assert_array_equal(engine.draw(inputs[order], range(2)).values, whole[:2, order])
    chunks = [engine.draw(inputs, range(start, min(start + 6, 20))).values for start in range(0, 20, 6)]
    np.testing.assert_array_equal(np.concatenate(chunks), whole)


def test_every_draw_is_one_network_for_all_examples() -> None:
    """The same example in several places of several blocks."""
    program = WORLDS["conv_chain"](0)
    inputs = np.repeat(examples(program, 1), 40, 0)
    engine = TensorFlowEngine(program, Output.LOGITS, SEED, block=16)
    values = engine.draw(inputs, range(3)).values
    assert np.ptp(values, axis=1).max() == 0.0
    assert np.ptp(values, axis=0).min() > 1e-6
    assert engine.sampling is Sampling.WEIGHTS


def test_seeds_differ() -> None:
    program = WORLDS["dense_chain"](0)
    inputs = examples(program, 4)
    values = [TensorFlowEngine(program, Output.PREDICTION, seed).draw(inputs, range(2)).values for seed in (1, 1, 2)]
    np.testing.assert_array_equal(values[0], values[1])
    assert np.abs(values[0] - values[2]).max() > 1e-3


_CHILD = """
import sys
import tensorflow as tf
tf.config.threading.set_intra_op_parallelism_threads(int(sys.argv[1]))
tf.config.threading.set_inter_op_parallelism_threads(int(sys.argv[1]))
import numpy as np
from bprune.case.output import Output
from bprune.engines.tensorflow import TensorFlowEngine
from tests.engines.test_tensorflow_engine import large_program
from tests.lowering.programs import examples
program = large_program()
engine = TensorFlowEngine(program, Output.LOGITS, 11)
engine.prepare(200)
np.save(sys.argv[2], engine.draw(examples(program, 200), range(3)).values)
"""


def large_program() -> Program:
    """Large enough that TensorFlow uses several threads within an operation."""
    b = Builder(14, 14, 3)
    x = b.act(b.conv("input", 64, window=(3, 3)))
    x = b.act(b.conv(b.pool(x), 64, window=(3, 3), pads="valid"))
    return b.build(b.affine(b.dense(b.act(b.dense(b.flatten(x), 300)), 10), 0.001))


def test_draws_do_not_depend_on_the_number_of_threads(tmp_path: Path) -> None:
    """Noise is equal bit for bit; sums over many products may be split otherwise by TensorFlow's kernels."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"}
    found = []
    for threads in ("1", "4"):
        target = tmp_path / f"{threads}.npy"
        subprocess.run([sys.executable, "-c", _CHILD, threads, str(target)], env=environment, check=True, timeout=300)
        found.append(np.load(target))
    np.testing.assert_allclose(found[0], found[1], rtol=1e-4, atol=1e-6)


def test_heads() -> None:
    b = Builder(4)
    logits = b.build(b.dense("input", 3))
    inputs = examples(logits, 6)
    raw = draw(logits, inputs, range(2)).values
    np.testing.assert_allclose(
        draw(logits, inputs, range(2), Output.LOGITS).values, special.softmax(raw, -1), rtol=1e-5
    )
    with pytest.raises(SelfCheckError, match="said to hold probabilities"):
        draw(logits, inputs, range(2), Output.PROBABILITIES)
    probabilities = b.build(b.act(logits.outputs[0], Function.SOFTMAX))
    found = draw(probabilities, inputs, range(2), Output.PROBABILITIES).values
    np.testing.assert_allclose(found, special.softmax(raw, -1), rtol=1e-5)


@pytest.mark.parametrize("axes", [(1,), ()])
def test_one_column_is_the_second_of_two_classes(axes: tuple[int, ...]) -> None:
    b = Builder(4)
    program = b.build(b.reshape(b.dense("input", 1), *axes))
    inputs = examples(program, 6)
    raw = draw(program, inputs, range(2)).values[..., 0]
    found = draw(program, inputs, range(2), Output.LOGITS)
    assert TensorFlowEngine(program, Output.LOGITS, 0).output_size == 2
    np.testing.assert_allclose(found.values[..., 1], special.expit(raw), rtol=1e-5)


def test_a_regression_with_a_predicted_scale_of_several_axes() -> None:
    b = Builder(4)
    program = b.build(b.reshape(b.dense("input", 6), 2, 3), b.act(b.dense("input", 6), Function.SOFTPLUS))
    found = draw(program, examples(program, 5), range(2))
    assert found.scale is not None
    assert found.values.shape == found.scale.shape == (2, 5, 6)
    assert TensorFlowEngine(program, Output.PREDICTION, 0).output_size == 6


def test_a_classifier_gives_one_row_per_example() -> None:
    program = Builder(4, 3).build("input")
    with pytest.raises(UnsupportedError, match=r"must be \[example, class\]; it is \[1, 4, 3\]"):
        TensorFlowEngine(program, Output.LOGITS, 0)


def test_inputs_of_other_types_are_taken_as_they_are() -> None:
    program = WORLDS["dense_chain"](0)
    inputs = np.arange(21, dtype=np.uint8).reshape(3, 7)
    engine = TensorFlowEngine(program, Output.PREDICTION, SEED)
    expected = engine.draw(inputs.astype(np.float32), range(2)).values
    np.testing.assert_array_equal(engine.draw(inputs, range(2)).values, expected)


def test_a_program_without_noise_and_an_output_that_is_the_same_in_every_draw() -> None:
    b = Builder(4, seed=1)
    fixed = b.act(b.dense("input", 3, ""))
    program = b.build(b.dense(fixed, 2), fixed)
    inputs = examples(program, 5)
    found = draw(program, inputs, range(3))
    assert found.scale is not None
    assert np.ptp(found.scale, axis=0).max() == 0.0
    alone = draw(Builder(4, seed=1).build("input"), inputs, range(3))
    np.testing.assert_array_equal(alone.values, np.broadcast_to(inputs, (3, 5, 4)))


def test_values_that_are_not_finite_fail_the_self_check() -> None:
    program = WORLDS["dense_chain"](0)
    inputs = examples(program, 3)
    inputs[1, 2] = np.nan
    with pytest.raises(SelfCheckError, match="draw 2 gives values that are not finite"):
        draw(program, inputs, range(2, 4))


def test_only_the_examples_themselves_are_checked() -> None:
    """The logarithm of the zeros that fill a block up is not finite."""
    b = Builder(4)
    program = b.build(b.dense(b.act("input", Function.LOG), 2))
    assert np.isfinite(draw(program, np.full((3, 4), 2.0, np.float32), range(1), run=1000).values).all()


def test_blocks_are_a_function_of_the_run_and_not_of_the_batch_size() -> None:
    engine = TensorFlowEngine(large_program(), Output.LOGITS, 0)
    blocks = choose_blocks(engine, 1000, 40)
    size = engine.block
    assert 1 < size < 1000
    assert blocks.examples == 1000
    assert choose_blocks(engine, 1000, 40, batch_size=1).examples == size
    assert choose_blocks(engine, 1000, 40, batch_size=size + 1).examples == 2 * size
    assert engine.block == size
    many = choose_blocks(engine, 1_000_000, 400)
    assert many.examples % size == 0
    assert many.examples // size * many.draws <= 256, "a call must not take for ever"
    assert many.draws > 1
    few = TensorFlowEngine(large_program(), Output.LOGITS, 0)
    assert choose_blocks(few, 3, 40).examples == few.block == 3


def test_traced_once() -> None:
    engine = TensorFlowEngine(WORLDS["conv_chain"](0), Output.PREDICTION, SEED)
    engine.prepare(9)
    inputs = examples(WORLDS["conv_chain"](0), 40)
    for count, draws in ((9, 1), (3, 4), (40, 2)):
        engine.draw(inputs[:count], range(draws))
    assert engine.traces == 1


def test_bfloat16_is_near_and_keeps_the_noise_of_certain_weights() -> None:
    program = large_program()
    inputs = examples(program, 30)
    wide, narrow = (
        TensorFlowEngine(program, Output.LOGITS, SEED, precision).draw(inputs, range(4)).values
        for precision in (Precision.FLOAT32, Precision.BFLOAT16)
    )
    difference = np.abs(wide - narrow)
    assert difference.max() > 1e-6
    assert difference.mean() < 5e-3
