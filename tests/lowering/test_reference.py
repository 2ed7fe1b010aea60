"""The oracle against other software, and what the passes compute with against the oracle."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from scipy import signal, special

from bprune.lowering.ops import Activation, Conv, Dense, Function, Pool, Pooling
from bprune.lowering.passes.evaluate import convolve, evaluate
from bprune.lowering.program import Program
from bprune.lowering.shapes import Shape
from bprune.lowering.weights import Stream, Weights
from tests.lowering.programs import WORLDS, Builder, examples
from tests.lowering.reference import run_program, run_tensors, sample, standard_noise


def test_convolutions_are_those_of_scipy() -> None:
    b = Builder(6, 5, 2, seed=3)
    program = b.build(b.conv("input", 3, "", None, pads="valid"))
    conv, x = program.ops[0], examples(program, 2)
    assert isinstance(conv, Conv)
    found = run_program(program, x)[0]
    for example, unit in product(range(2), range(3)):
        expected = signal.correlate(x[example].astype(float), conv.kernel.loc[..., unit].astype(float), "valid")
        assert np.allclose(found[example, ..., unit], expected[..., 0])


def test_strides_pads_and_dilations_by_the_definition() -> None:
    rng = np.random.default_rng(0)
    x, kernel = rng.normal(size=(1, 7, 6, 2)), rng.normal(size=(3, 2, 2, 3)).astype(np.float32)
    strides, pads, dilations = (2, 1), ((1, 2), (0, 3)), (2, 3)
    op = Conv("y", ("x",), Weights(kernel), None, strides, pads, dilations)
    program = Program("x", Shape((7, 6, 2)), (op,), ("y",))
    found, padded = run_program(program, x)[0][0], np.pad(x[0], (*pads, (0, 0)))
    for row, column in product(*map(range, program.shapes["y"].spatial)):
        seen = padded[2 * row : 2 * row + 5 : 2, column : column + 4 : 3]
        assert np.allclose(found[row, column], np.einsum("ijc,ijco->o", seen, kernel))
    assert np.allclose(convolve(x[0], kernel, strides, pads, dilations), found)


def test_average_pooling_counts_what_is_inside() -> None:
    x = np.arange(1.0, 5.0).reshape(1, 4, 1)
    op = Pool("y", ("x",), Pooling.AVERAGE, (3,), (1,), ((1, 1),))
    program = Program("x", Shape((4, 1)), (op,), ("y",))
    assert run_program(program, x)[0].ravel().tolist() == [1.5, 2.0, 3.0, 3.5]
    assert evaluate(op, [x[0]]).ravel().tolist() == [1.5, 2.0, 3.0, 3.5]


@pytest.mark.parametrize("function", Function)
def test_functions(function: Function) -> None:
    """Two independent spellings of every activation, and a few values by hand."""
    x = np.linspace(-4.0, 9.0, 27).reshape(9, 3)
    op = Activation("y", ("x",), function, 0.3 if function is Function.LEAKY_RELU else 0.0)
    program = Program("x", Shape((9, 3)), (op,), ("y",))
    assert np.allclose(run_program(program, x[None])[0][0], evaluate(op, [x]), equal_nan=True)


def test_values_by_hand() -> None:
    expected = {
        Function.RELU6: 6.0,
        Function.GELU: 8.0 * special.ndtr(8.0),
        Function.SWISH: 8.0 / (1.0 + np.exp(-8.0)),
        Function.SOFTSIGN: 8.0 / 9.0,
        Function.RSQRT: 1.0 / np.sqrt(8.0),
        Function.SOFTPLUS: np.log1p(np.exp(8.0)),
    }
    for function, value in expected.items():
        assert np.allclose(evaluate(Activation("y", ("x",), function), [np.asarray(8.0)]), value)
    negative = {Function.ELU: np.expm1(-2.0), Function.SELU: 1.7580993408473766 * np.expm1(-2.0), Function.ABS: 2.0}
    for function, value in negative.items():
        assert np.allclose(evaluate(Activation("y", ("x",), function), [np.asarray(-2.0)]), value)


def test_operations_with_weights_are_not_evaluated() -> None:
    with pytest.raises(TypeError, match="Dense has weights"):
        evaluate(Dense("y", ("x",), Weights(np.ones((2, 2), np.float32))), [np.ones(2)])


def test_noise_follows_stream_and_ids() -> None:
    stream = Stream("layer/kernel", 1, 6)
    loc, ids = np.zeros((2, 2), np.float32), np.asarray([[5, 0], [3, 1]], np.int32)
    weights = Weights(loc, np.ones_like(loc), "Normal", stream, ids)
    noise = standard_noise(7)
    assert np.array_equal(sample(weights, noise), noise(stream)[ids])
    assert np.array_equal(sample(weights, None), loc)
    assert not np.array_equal(noise(stream), noise(Stream("layer/kernel", 0, 6)))
    assert np.array_equal(noise(stream), standard_noise(7)(stream))


@pytest.mark.parametrize("world", WORLDS)
def test_worlds_are_random_and_differ_between_examples(world: str) -> None:
    program = WORLDS[world](0)
    x = examples(program)
    tensors = run_tensors(program, x, standard_noise(1))
    assert {name: item.shape[1:] for name, item in tensors.items()} == program.shapes
    for name in program.outputs:
        other = run_tensors(program, x, standard_noise(2))[name]
        assert np.isfinite(other).all()
        assert not np.allclose(tensors[name], other)
        assert not np.allclose(tensors[name][0], tensors[name][1])
