"""Law 4 for the engine `native`: with scales of nearly 0 its kernels give what the graph gives at 0."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bprune.case.output import Output
from bprune.engines.base import Sampling
from bprune.engines.check import graph_at_zero_scale
from bprune.engines.native import NativeEngine
from bprune.lowering.ops import Conv, Op
from bprune.lowering.program import Program, weights_of, with_weights
from bprune.lowering.weights import Weights
from tests.lowering.law_worlds import SMALL, each, open_world

TOLERANCE = 1e-5
_LEAST = np.float32(1e-25)


def without_noise(program: Program) -> Program:
    """The program with scales that no sum notices: engines still draw everything."""

    def quiet(weights: Weights) -> Weights:
        return weights if weights.scale is None else replace(weights, scale=weights.scale * _LEAST)

    return program.replaced([with_weights(op, {k: quiet(v) for k, v in weights_of(op).items()}) for op in program.ops])


def error(program: Program, inputs: np.ndarray, expected: np.ndarray, sampling: Sampling) -> float:
    """The largest difference in units of the output's largest magnitude."""
    engine = NativeEngine(without_noise(program), Output.PREDICTION, 3, sampling)
    found = engine.draw(inputs, range(2)).values
    np.testing.assert_array_equal(found[0], found[1])
    tiny = np.finfo(np.float32).tiny  # an output that pruning made 0 everywhere
    return float(np.max(np.abs(found[0].reshape(expected.shape) - expected)) / max(np.max(np.abs(expected)), tiny))


@pytest.mark.parametrize("name", each(*SMALL))
def test_the_engine_is_the_graph_at_scales_of_zero(name: str, request: pytest.FixtureRequest) -> None:
    """The whole network, and a pruned and compacted one, some of whose layers are sparse."""
    world = open_world(name, request)
    program = replace(world.program, outputs=world.program.outputs[:1])
    expected = graph_at_zero_scale(world.case, world.network, world.inputs)[0]
    for sampling in (Sampling.PER_EXAMPLE, Sampling.WEIGHTS):
        assert error(program, world.inputs, expected, sampling) < TOLERANCE
    masks = world.masks(0.9)
    pruned = world.pruned(masks)
    expected = graph_at_zero_scale(world.case, world.network, world.inputs, masks)[0]
    assert error(replace(pruned, outputs=pruned.outputs[:1]), world.inputs, expected, Sampling.PER_EXAMPLE) < TOLERANCE


def test_a_wrong_stride_is_caught(request: pytest.FixtureRequest) -> None:
    world = open_world("digits_conv", request)

    def wrong(op: Op) -> Op:
        return replace(op, kernel=replace(op.kernel, loc=op.kernel.loc[::-1])) if isinstance(op, Conv) else op

    program = world.program.replaced([wrong(op) for op in world.program.ops])
    expected = graph_at_zero_scale(world.case, world.network, world.inputs)[0]
    assert error(program, world.inputs, expected, Sampling.WEIGHTS) > 100.0 * TOLERANCE
