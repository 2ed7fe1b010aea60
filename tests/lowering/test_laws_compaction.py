"""Law 6: compacted equals masked, given the same draws."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from bprune.arrays import AnyArray, BoolArray
from bprune.lowering.program import Program, weights_of, with_weights
from tests.lowering.law_worlds import FULL, NETWORKS, World, columns, each, open_world, random_units

DRAWS = range(3, 6)
EXAMPLES = 2
TOLERANCE = 2e-4

MASKS: dict[str, Callable[[World], dict[str, BoolArray]]] = {
    "weights": lambda world: world.masks(0.97),
    "units": lambda world: random_units(world.network, share=0.6, kept=0.7),
    "all": lambda world: world.masks(1.0),
}


def elements(program: Program) -> int:
    """How many weights a program holds, dead ones included."""
    return sum(item.loc.size for op in program.ops for item in weights_of(op).values())


def draw(world: World, program: Program) -> AnyArray:
    inputs = world.inputs[:EXAMPLES]
    engine = world.engine(program)
    engine.prepare(len(inputs))
    return columns(engine.draw(inputs, DRAWS))


def difference(first: AnyArray, second: AnyArray) -> float:
    """The largest difference, in units of the largest magnitude."""
    return float(np.max(np.abs(first - second)) / max(np.max(np.abs(first)), 1e-30))


@pytest.mark.parametrize("name", each(*NETWORKS))
def test_compacted_draws_are_the_masked_draws(name: str, request: pytest.FixtureRequest) -> None:
    world = open_world(name, request)
    kinds = [kind for kind in MASKS if kind != "all" or name not in FULL]
    sizes = {}
    for kind in kinds:
        masks = MASKS[kind](world)
        masked, compact = world.pruned(masks, compact=False), world.pruned(masks)
        assert elements(masked) == elements(world.program)
        assert difference(draw(world, masked), draw(world, compact)) < TOLERANCE, kind
        sizes[kind] = elements(compact)
    assert sizes["units"] < 0.8 * elements(world.program), "whole units are gone"
    assert sizes.get("all", 0) < sizes["units"]


@pytest.mark.parametrize("name", each("digits_conv", "mixed", "narrow_resnet_18", "every_conv_2d"))
def test_a_constant_unit_that_is_dropped_is_caught(name: str, request: pytest.FixtureRequest) -> None:
    """Negative control: units without inputs still say something; a compaction that forgets them must fail."""
    world = open_world(name, request)
    masks = random_units(world.network, share=0.6, kept=0.7)
    masked = world.pruned(masks, compact=False)

    def forgetful(program: Program) -> Program:
        ops = []
        for op in program.ops:
            parts = weights_of(op)
            if "bias" in parts and "kernel" in parts and parts["kernel"].is_sampled:
                dead = ~parts["kernel"].live.reshape(-1, parts["kernel"].shape[-1]).any(0)
                parts["bias"] = parts["bias"].without(np.asarray(dead))
            ops.append(with_weights(op, parts) if parts else op)
        return replace(program, ops=tuple(ops))

    assert difference(draw(world, masked), draw(world, forgetful(masked))) > TOLERANCE
