"""Law 4: with all scales 0 the program equals the graph, for the whole network and for pruned and compacted ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from bprune.arrays import AnyArray
from bprune.engines.check import check_lowering, graph_at_zero_scale
from bprune.errors import SelfCheckError
from bprune.lowering.ops import Affine, Conv, Op
from bprune.lowering.program import Program, weights_of, with_weights
from bprune.lowering.weights import Weights
from tests.lowering.law_worlds import NETWORKS, World, open_world
from tests.lowering.reference import run_program

TOLERANCE = 1e-5


def error(program: Program, inputs: AnyArray, expected: list[AnyArray]) -> float:
    """The largest difference to the oracle's output, in units of the output's largest magnitude."""
    found = run_program(program, inputs)
    assert len(found) == len(expected)
    tiny = np.finfo(np.float32).tiny  # an output that pruning made 0 everywhere
    return max(
        float(np.max(np.abs(a.reshape(b.shape) - b)) / np.maximum(np.max(np.abs(b)), tiny))
        for a, b in zip(found, expected, strict=True)
    )


@pytest.mark.parametrize("name", NETWORKS)
def test_the_program_is_the_graph_at_scales_of_zero(name: str, request: pytest.FixtureRequest) -> None:
    world = open_world(name, request)
    expected = graph_at_zero_scale(world.case, world.network, world.inputs)
    assert min(np.ptp(item, axis=0).max() / np.abs(item).max() for item in expected) > 1e-3, "examples differ"
    assert error(world.program, world.inputs, expected) < TOLERANCE
    found = world.engine(world.program).at_zero_scale(world.inputs)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a.reshape(b.shape), b, rtol=0, atol=TOLERANCE * np.abs(b).max())


@pytest.mark.parametrize("sparsity", [0.5, 0.9])
@pytest.mark.parametrize("name", NETWORKS)
def test_the_compacted_program_is_the_masked_graph(name: str, sparsity: float, request: pytest.FixtureRequest) -> None:
    world = open_world(name, request)
    masks = world.masks(sparsity)
    expected = graph_at_zero_scale(world.case, world.network, world.inputs, masks)
    assert error(world.pruned(masks), world.inputs, expected) < TOLERANCE


def negative(weights: Weights) -> Weights:
    return replace(weights, loc=-weights.loc)


def other_sign(op: Op) -> Op:
    parts = weights_of(op)
    return with_weights(op, {"kernel": negative(parts["kernel"])}) if "kernel" in parts else op


def no_bias(op: Op) -> Op:
    parts = weights_of(op)
    if "bias" not in parts:
        return op
    return with_weights(op, {"bias": Weights(np.zeros_like(parts["bias"].loc))})


def other_stride(op: Op) -> Op:
    """A window that moves by 1 row too few, with the zeros that keep the size of the result."""
    if not isinstance(op, Conv) or max(op.strides) < 2:
        return op
    return replace(op, strides=(1,) * len(op.strides))


def other_pads(op: Op) -> Op:
    """Zeros at the other end."""
    if not isinstance(op, Conv) or all(before == after for before, after in op.pads):
        return op
    return replace(op, pads=tuple((after, before) for before, after in op.pads))


def no_shift(op: Op) -> Op:
    return replace(op, shift=None) if isinstance(op, Affine) and op.shift is not None else op


@pytest.mark.parametrize(
    ("name", "bug"),
    [
        ("digits_conv", other_sign),
        ("digits_conv", no_bias),
        ("mixed", other_sign),
        ("mixed", no_bias),
        ("every_conv_2d", other_sign),
        ("every_conv_2d", other_stride),
        ("every_conv_2d", other_pads),
        ("narrow_resnet_18", other_sign),
        ("narrow_resnet_18", no_bias),
        ("narrow_resnet_18", no_shift),
        ("variational", no_bias),
    ],
)
def test_a_bug_in_a_single_operation_is_caught(
    name: str, bug: Callable[[Op], Op], request: pytest.FixtureRequest
) -> None:
    """Negative control: planted in every operation by itself."""
    world = open_world(name, request)
    expected = graph_at_zero_scale(world.case, world.network, world.inputs)
    tried = 0
    for number, op in enumerate(world.program.ops):
        broken = bug(op)
        if broken is op:
            continue
        program = world.program.replaced([*world.program.ops[:number], broken, *world.program.ops[number + 1 :]])
        tried += 1
        assert is_caught(world, program, expected), f"{bug.__name__} in {op.name}"
    assert tried > 0


def is_caught(world: World, program: Program, expected: list[AnyArray]) -> bool:
    try:
        check_lowering(world.case, world.network, program)
    except SelfCheckError:
        return error(program, world.inputs, expected) > TOLERANCE
    return False
