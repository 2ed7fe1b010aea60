"""Law 7: same seed, same draws, however the work is divided; and a weight keeps its noise when others are pruned."""

from __future__ import annotations

import numpy as np
import pytest

from bprune.arrays import AnyArray
from bprune.case.output import Output
from bprune.engines.base import Draws
from bprune.engines.head import class_probabilities
from bprune.lowering.program import Program
from tests.engines.noise_oracle import keyed_noise
from tests.lowering.law_worlds import FULL, NETWORKS, SMALL, World, open_world, random_units
from tests.lowering.reference import run_program

SEED = 3
DRAWS = 4


def numbers(draws: Draws) -> AnyArray:
    """`[draw, example, column]`."""
    return draws.values if draws.scale is None else np.concatenate([draws.values, draws.scale], axis=-1)


def repeated(world: World, examples: int) -> AnyArray:
    """More examples than there are, all different."""
    factors = np.linspace(0.5, 1.0, -(-examples // len(world.inputs)))
    return np.concatenate([world.inputs * factor for factor in factors]).astype(world.inputs.dtype)[:examples]


@pytest.mark.parametrize("name", SMALL)
def test_draws_do_not_depend_on_the_division_of_the_work(name: str, request: pytest.FixtureRequest) -> None:
    """Bit for bit in one run; for a run of another size, whose blocks differ, up to rounding."""
    world = open_world(name, request)
    inputs = repeated(world, 7)
    engine = world.engine(world.pruned(world.masks(0.5)), SEED)
    engine.prepare(len(inputs))
    whole = numbers(engine.draw(inputs, range(DRAWS)))
    assert np.ptp(whole, axis=0).max() > 1e-4, "draws differ"
    in_chunks = [numbers(engine.draw(inputs, chunk)) for chunk in (range(2, DRAWS), range(2))]
    np.testing.assert_array_equal(np.concatenate(in_chunks[::-1]), whole)
    in_batches = [numbers(engine.draw(part, range(DRAWS))) for part in (inputs[5:], inputs[:5])]
    np.testing.assert_array_equal(np.concatenate(in_batches[::-1], axis=1), whole)
    np.testing.assert_array_equal(numbers(engine.draw(inputs[::-1], range(DRAWS)))[:, ::-1], whole)

    other = world.engine(world.pruned(world.masks(0.5)), SEED)
    other.prepare(200)
    np.testing.assert_allclose(numbers(other.draw(inputs, range(DRAWS))), whole, rtol=1e-3, atol=1e-5)
    reseeded = world.engine(world.pruned(world.masks(0.5)), SEED + 1)
    assert np.abs(numbers(reseeded.draw(inputs, range(DRAWS))) - whole).max() > 1e-4


def oracle(world: World, program: Program, inputs: AnyArray, draw: int) -> AnyArray:
    """One draw in NumPy with the noise that the whole network would take."""
    values, *scale = run_program(program, inputs, keyed_noise(world.program, SEED, draw))
    if world.case.roles.kind is not Output.PREDICTION:
        return class_probabilities(values, len(inputs), world.case.roles.kind)
    return np.concatenate([item.reshape(len(inputs), -1) for item in (values, *scale)], axis=-1)


@pytest.mark.parametrize("name", [name for name in NETWORKS if name not in FULL])
def test_a_kept_weight_has_the_noise_that_it_has_in_the_whole_network(
    name: str, request: pytest.FixtureRequest
) -> None:
    """The compacted engine against plain NumPy, which masks the whole network and draws noise for every weight."""
    world = open_world(name, request)
    inputs = world.inputs[:2]
    for masks in (world.network.masks, world.masks(0.6), random_units(world.network, share=0.5, kept=0.6)):
        engine = world.engine(world.pruned(masks), SEED)
        engine.prepare(len(inputs))
        found = numbers(engine.draw(inputs, range(5, 6)))[0]
        expected = oracle(world, world.pruned(masks, compact=False), inputs, 5)
        np.testing.assert_allclose(found, expected, rtol=2e-3, atol=2e-5)
        assert not np.allclose(found, oracle(world, world.pruned(masks, compact=False), inputs, 6), rtol=2e-3, atol=2e-5)
