"""Compaction of random Fourier features: a frequency that is pruned is a cosine of 1 and a sine of 0."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from bprune.arrays import AnyArray
from bprune.lowering.ops import Activation, Dense, Function, Op
from bprune.lowering.passes import remove_dead_units
from bprune.lowering.passes.dead_units import forward
from bprune.lowering.passes.evaluate import evaluate
from bprune.lowering.program import Program, check_program, weights_of, with_weights
from tests.lowering.agreement import same_numbers
from tests.lowering.programs import FIXED, Builder

FREQUENCIES = 6
DEAD = (1, 4)


def features(family: str, *, pruned: bool = True) -> Program:
    """Frequencies without biases, some of them dead; cosines and sines; weights without biases."""
    b = Builder(5, seed=2)
    angles = b.dense("input", FREQUENCIES, "Normal", None)
    waves = b.concat(b.act(angles, Function.COS), b.act(angles, Function.SIN))
    program = b.build(b.dense(b.affine(waves, 0.5), 3, family, None))
    if not pruned:
        return program
    kernel = weights_of(program.by_name[angles])["kernel"]
    dead = np.zeros(kernel.shape, np.bool_)
    dead[:, list(DEAD)] = True
    first = with_weights(program.by_name[angles], {"kernel": kernel.without(dead)})
    return program.replaced([first, *program.ops[1:]])


def layers(program: Program) -> list[Dense]:
    return [op for op in program.ops if isinstance(op, Dense)]


@pytest.mark.parametrize("family", ["Normal", "Laplace", "LogNormal"])
def test_a_dead_frequency_is_a_constant_of_what_reads_it(family: str) -> None:
    """Weights on the cosine keep their noise; those on the sine are multiplied with 0 and go."""
    program = features(family)
    new = remove_dead_units(program)
    check_program(new)
    assert same_numbers(program, new)
    first, last = layers(new)
    assert first.kernel.shape == (5, FREQUENCIES - len(DEAD))
    assert last.constant is not None
    np.testing.assert_array_equal(last.constant, np.full(len(DEAD), 0.5, np.float32))
    before = layers(program)[1].kernel
    assert before.ids is not None
    assert last.kernel.ids is not None
    np.testing.assert_array_equal(last.kernel.ids[-len(DEAD) :], before.ids[list(DEAD)])


def test_fixed_weights_take_a_dead_frequency_into_their_bias() -> None:
    program = features(FIXED)
    new = remove_dead_units(program)
    assert same_numbers(program, new)
    last = layers(new)[1]
    assert last.constant is None
    assert last.bias is not None
    expected = 0.5 * layers(program)[1].kernel.loc[list(DEAD)].sum(0)
    np.testing.assert_allclose(last.bias.loc, expected, rtol=1e-6)


def test_a_frequency_stays_as_long_as_its_cosine_or_its_sine_is_read() -> None:
    program = features("Normal", pruned=False)
    last = layers(program)[1]
    unread = np.zeros(last.kernel.shape, np.bool_)
    unread[[0, 2, 2 + FREQUENCIES, 3 + FREQUENCIES]] = True  # the cosines of 0 and 2, the sines of 2 and 3
    cut = with_weights(last, {"kernel": last.kernel.without(unread)})
    program = program.replaced([*program.ops[:-1], cut])
    new = remove_dead_units(program)
    assert same_numbers(program, new)
    assert layers(new)[0].kernel.shape == (5, FREQUENCIES - 1)


def test_a_cosine_of_nothing_that_counts_as_nothing_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control: a compaction that takes a dead unit for 0 behind a cosine, as it is behind a sine."""

    def wrong(op: Op, inputs: Sequence[AnyArray]) -> AnyArray:
        is_cosine = isinstance(op, Activation) and op.function is Function.COS
        return np.sin(inputs[0]) if is_cosine else evaluate(op, inputs)

    monkeypatch.setattr(forward, "evaluate", wrong)
    for family in ("Normal", FIXED):
        assert not same_numbers(features(family), remove_dead_units(features(family)))
