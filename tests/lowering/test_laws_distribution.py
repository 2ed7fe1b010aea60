"""Law 5: per example, the program's draws have the graph's law: means, variances, correlations between outputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from itertools import combinations
from typing import NamedTuple

import numpy as np
import pytest

from bprune.arrays import AnyArray, BoolArray
from bprune.engines.graph import GraphEngine
from bprune.lowering.ops import Op
from bprune.lowering.program import Program, weights_of, with_weights
from bprune.lowering.weights import Weights
from tests.laws import same_law
from tests.lowering.law_worlds import SMALL, World, columns, each, open_world

EXAMPLES = 2
DRAWS = 500
FEWER_DRAWS = {"mnist_bnn_conv": 60}
"""Where a draw of the graph takes a tenth of a second."""


def observed(values: AnyArray, size: tuple[AnyArray, AnyArray]) -> AnyArray:
    """What is compared: the outputs, and the products of every two of them, whose mean is the correlation.

    Args:
        values: `[draw, example, column]`.
        size: Mean and standard deviation of every column, `[example, column]`, the same for both samples.

    Returns:
        `[draw, value]`.
    """
    scaled = (values - size[0]) / np.maximum(size[1], 1e-12)
    pairs = [scaled[..., i] * scaled[..., j] for i, j in combinations(range(values.shape[-1]), 2)]
    parts = [values.reshape(len(values), -1), *pairs]
    return np.concatenate(parts, axis=1)


def is_same(first: AnyArray, second: AnyArray) -> bool:
    """Whether two samples `[draw, example, column]` have one law.

    False with probability 1e-6 at most when they have, by the normal approximation of means over draws and Bonferroni's
    bound over all comparisons.
    """
    both = np.concatenate([first, second])
    size = both.mean(0), both.std(0)
    return same_law(observed(first, size), observed(second, size))


class Oracle(NamedTuple):
    """A world and draws of its graph, `[draw, example, column]`."""

    world: World
    values: AnyArray


@pytest.fixture(scope="module")
def oracle(request: pytest.FixtureRequest) -> Callable[[str], Oracle]:
    """Draws of the graph engine, made once for each network."""

    @cache
    def make(name: str) -> Oracle:
        world = open_world(name, request)
        return Oracle(world, graph_sample(world, world.network.masks))

    return make


def graph_sample(world: World, masks: Mapping[str, BoolArray]) -> AnyArray:
    """Draws of the graph engine, which is the oracle."""
    engine = GraphEngine(world.case, world.network, masks, seed=1)
    return columns(engine.draw(world.inputs[:EXAMPLES], range(FEWER_DRAWS.get(world.name, DRAWS))))


def sample(world: World, program: Program) -> AnyArray:
    """Draws of a program."""
    engine = world.engine(program, seed=2)
    engine.prepare(EXAMPLES)
    return columns(engine.draw(world.inputs[:EXAMPLES], range(FEWER_DRAWS.get(world.name, DRAWS))))


@pytest.mark.parametrize("name", each(*SMALL))
def test_draws_of_the_program_have_the_law_of_the_graph(name: str, oracle: Callable[[str], Oracle]) -> None:
    world, values = oracle(name)
    assert np.median(values.std(0)) > 1e-3, "the noise is seen"
    assert is_same(values, sample(world, world.program))


@pytest.mark.parametrize("name", each("digits_conv", "mixed", "variational", "dgp", "every_conv_2d", "mnist_bnn_fc"))
def test_draws_of_a_pruned_program_have_the_law_of_the_masked_graph(name: str, oracle: Callable[[str], Oracle]) -> None:
    world, whole = oracle(name)
    masks = world.masks(0.6)
    pruned = graph_sample(world, masks)
    assert is_same(pruned, sample(world, world.pruned(masks)))
    assert not is_same(whole, pruned), "the comparison tells networks apart"


def variance_for_scale(weights: Weights) -> Weights:
    assert weights.scale is not None
    return replace(weights, scale=np.square(weights.scale))


def twice_the_scale(weights: Weights) -> Weights:
    assert weights.scale is not None
    return replace(weights, scale=2.0 * weights.scale)


def one_noise_for_all_units(weights: Weights) -> Weights:
    """Every unit takes the noise of the first one: means and variances stay, correlations do not."""
    assert weights.ids is not None
    return replace(weights, ids=np.ascontiguousarray(np.broadcast_to(weights.ids[..., :1], weights.ids.shape)))


def other_sign(weights: Weights) -> Weights:
    return replace(weights, loc=-weights.loc)


def altered(program: Program, change: Callable[[Weights], Weights], position: int) -> Program:
    """The program with another kernel in the first or last layer that has one."""
    layers = [op for op in program.ops if "kernel" in weights_of(op) and weights_of(op)["kernel"].is_sampled]
    target = layers[position]

    def each(op: Op) -> Op:
        return with_weights(op, {"kernel": change(weights_of(op)["kernel"])}) if op is target else op

    return program.replaced([each(op) for op in program.ops])


@pytest.mark.parametrize("change", [variance_for_scale, twice_the_scale, other_sign])
@pytest.mark.parametrize(
    ("name", "position"),
    [("digits_fc", 0), ("digits_conv", -1), ("mixed", -1), ("every_conv_2d", -1)],
)
def test_a_bug_in_one_layer_is_caught(
    name: str, position: int, change: Callable[[Weights], Weights], oracle: Callable[[str], Oracle]
) -> None:
    """Negative control; law 4 cannot see the first two."""
    world, values = oracle(name)
    assert not is_same(values, sample(world, altered(world.program, change, position)))


@pytest.mark.parametrize("name", each("digits_fc", "mixed", "every_conv_2d"))
def test_noise_that_units_share_is_caught_by_the_correlations(name: str, oracle: Callable[[str], Oracle]) -> None:
    """Negative control of the products: means and variances of the logits are right."""
    world, values = oracle(name)
    assert not is_same(values, sample(world, altered(world.program, one_noise_for_all_units, -1)))
