"""Sines and cosines of the engines: accurate for large angles, and the same bits wherever an example stands."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from bprune.arrays import AnyArray
from bprune.case.output import Output
from bprune.engines.native import NativeEngine
from bprune.engines.native.block import Block
from bprune.engines.native.rest import ArrayStep
from bprune.engines.tensorflow.emit import emit
from bprune.lowering.ops import Activation, Function
from bprune.lowering.program import Program
from tests.lowering.programs import Builder

FUNCTIONS: dict[Function, Callable[[AnyArray], AnyArray]] = {Function.SIN: np.sin, Function.COS: np.cos}
ANGLES = np.linspace(-1e3, 1e3, 200_003, dtype=np.float32)[:, None]


def native(op: Activation, angles: AnyArray) -> AnyArray:
    block = Block(np.arange(len(angles), dtype=np.uint32), [], {"x": angles}, {}, {})
    block.draws = [None]  # type: ignore[list-item]
    ArrayStep(op).run(block)
    return block.rows("y")


@pytest.mark.parametrize("function", FUNCTIONS)
def test_angles_of_up_to_a_thousand_are_accurate(function: Function) -> None:
    expected = FUNCTIONS[function](ANGLES.astype(np.float64))
    op = Activation("y", ("x",), function)
    for found in (native(op, ANGLES), np.asarray(emit(op, [ANGLES], {}))):
        assert found.dtype == np.float32
        assert np.abs(found - expected).max() < 1e-6


def waves() -> Program:
    """Seven frequencies, so that examples stand at all places of a vector register."""
    b = Builder(3, seed=4)
    angles = b.affine(b.dense("input", 7), 20.0)
    return b.build(b.concat(b.act(angles, Function.COS), b.act(angles, Function.SIN)))


def test_the_bits_do_not_depend_on_how_draws_and_threads_are_grouped() -> None:
    """Law 7; TensorFlow computes the end of an array by another formula."""
    inputs = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    engine, single = (NativeEngine(waves(), Output.PREDICTION, 1, threads=threads) for threads in (3, 1))
    for item in (engine, single):
        item.prepare(len(inputs))
    whole = engine.draw(inputs, range(24)).values
    np.testing.assert_array_equal(single.draw(inputs, range(24)).values, whole)
    for draw in range(24):
        np.testing.assert_array_equal(engine.draw(inputs, range(draw, draw + 1)).values[0], whole[draw])
