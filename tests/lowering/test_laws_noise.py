"""Law 7: same seed, same draws, however the work is divided; and a weight keeps its noise when others are pruned."""

from __future__ import annotations

import numpy as np
import pytest

from bprune.arrays import AnyArray
from bprune.engines.base import Draws
from bprune.lowering.program import Program
from tests.engines.noise_oracle import keyed_noise
from tests.lowering.law_worlds import SMALL, World, columns, each, open_world, random_units
from tests.lowering.reference import run_program

SEED = 3
DRAWS = 4
TOLERANCE = 2e-4


def repeated(world: World, examples: int) -> AnyArray:
    """More examples than there are, all different."""
    factors = np.linspace(0.5, 1.0, -(-examples // len(world.inputs)))
    return np.concatenate([world.inputs * factor for factor in factors]).astype(world.inputs.dtype)[:examples]


@pytest.mark.parametrize("name", each(*SMALL))
def test_draws_do_not_depend_on_the_division_of_the_work(name: str, request: pytest.FixtureRequest) -> None:
    """Ranges of draws: bit for bit. Examples that stand elsewhere in a block, or in a larger one: up to rounding."""
    world = open_world(name, request)
    inputs = repeated(world, 7)
    program = world.pruned(world.masks(0.5))
    engine = world.engine(program, SEED)
    engine.prepare(len(inputs))
    whole = columns(engine.draw(inputs, range(DRAWS)))
    assert np.ptp(whole, axis=0).max() > 1e-3, "draws differ"
    chunks = [columns(engine.draw(inputs, chunk)) for chunk in (range(2, DRAWS), range(2))]
    np.testing.assert_array_equal(np.concatenate(chunks[::-1]), whole)
    batches = [columns(engine.draw(part, range(DRAWS))) for part in (inputs[5:], inputs[:5])]
    assert_close(np.concatenate(batches[::-1], axis=1), whole)
    assert_close(columns(engine.draw(inputs[::-1], range(DRAWS)))[:, ::-1], whole)
    engine.prepare(100)
    assert_close(columns(engine.draw(inputs, range(DRAWS))), whole)


@pytest.mark.parametrize("name", each("digits_conv", "mixed"))
def test_seeds_differ_and_engines_do_not(name: str, request: pytest.FixtureRequest) -> None:
    world = open_world(name, request)
    values = [columns(world.engine(world.program, seed).draw(world.inputs, range(2))) for seed in (1, 1, 2)]
    np.testing.assert_array_equal(values[0], values[1])
    assert not is_close(values[0], values[2])


def is_close(found: AnyArray, expected: AnyArray) -> bool:
    """Equal up to float32's rounding of sums, in units of the largest magnitude."""
    return bool(np.max(np.abs(found - expected)) < TOLERANCE * np.max(np.abs(expected)))


def assert_close(found: AnyArray, expected: AnyArray) -> None:
    np.testing.assert_allclose(found, expected, rtol=0, atol=TOLERANCE * np.max(np.abs(expected)))


def oracle(world: World, program: Program, inputs: AnyArray, draw: int) -> AnyArray:
    """One draw in NumPy with the noise that the whole network would take, `[draw, example, column]`."""
    values, *scale = run_program(program, inputs, keyed_noise(world.program, SEED, draw))
    parts = [item.reshape(1, len(inputs), -1).astype(np.float32) for item in (values, *scale)]
    return columns(Draws(*parts))


@pytest.mark.parametrize("name", each(*SMALL))
def test_a_kept_weight_has_the_noise_that_it_has_in_the_whole_network(
    name: str, request: pytest.FixtureRequest
) -> None:
    """The compacted engine against plain NumPy, which masks the whole network and draws noise for every weight."""
    world = open_world(name, request)
    inputs = world.inputs[:2]
    for masks in (world.network.masks, random_units(world.network, share=0.5, kept=0.6)):
        engine = world.engine(world.pruned(masks), SEED)
        engine.prepare(len(inputs))
        found = columns(engine.draw(inputs, range(5, 6)))
        masked = world.pruned(masks, compact=False)
        assert_close(found, oracle(world, masked, inputs, 5))
        assert not is_close(found, oracle(world, masked, inputs, 6)), "other draws differ"
