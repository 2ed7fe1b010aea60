"""Law 4: with all scales 0 the program equals the graph, for the whole network and for pruned and compacted ones."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bprune.arrays import AnyArray
from bprune.engines.check import check_lowering, graph_at_zero_scale
from bprune.errors import SelfCheckError
from bprune.lowering.ops import Activation, Affine, Conv, Function, Op
from bprune.lowering.program import Program, check_program, weights_of, with_weights
from bprune.lowering.weights import Weights
from tests.lowering.law_worlds import NETWORKS, each, open_world
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


@pytest.mark.parametrize("name", each(*NETWORKS))
def test_the_program_is_the_graph_at_scales_of_zero(name: str, request: pytest.FixtureRequest) -> None:
    """The whole network in NumPy and in the engine, and the pruned and compacted one in NumPy."""
    world = open_world(name, request)
    expected = graph_at_zero_scale(world.case, world.network, world.inputs)
    assert min(np.ptp(item, axis=0).max() / np.abs(item).max() for item in expected) > 1e-3, "examples differ"
    assert error(world.program, world.inputs, expected) < TOLERANCE
    found = world.engine(world.program).at_zero_scale(world.inputs)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a.reshape(b.shape), b, rtol=0, atol=TOLERANCE * np.abs(b).max())
    for sparsity in (0.5, 0.9):
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


def other_wave(op: Op) -> Op:
    """A sine for a cosine, and the other way round."""
    waves = {Function.SIN: Function.COS, Function.COS: Function.SIN}
    if not isinstance(op, Activation) or op.function not in waves:
        return op
    return replace(op, function=waves[op.function])


BUGS = {
    "digits_conv": (other_sign, no_bias),
    "mixed": (other_sign, no_bias),
    "variational": (other_sign, no_bias),
    "dgp": (other_sign, other_wave),
    "every_conv_2d": (other_sign, other_stride, other_pads),
    "narrow_resnet_18": (other_sign, no_bias, no_shift),
}


@pytest.mark.parametrize("name", each(*BUGS))
def test_a_bug_in_a_single_operation_is_caught(name: str, request: pytest.FixtureRequest) -> None:
    """Negative control: every bug, planted in every operation by itself."""
    world = open_world(name, request)
    ops = world.program.ops
    expected = graph_at_zero_scale(world.case, world.network, world.inputs)
    for bug in BUGS[name]:
        broken = {number: bug(op) for number, op in enumerate(ops) if bug(op) is not op}
        assert broken, f"{bug.__name__} fits nowhere"
        for number, op in broken.items():
            program = world.program.replaced([*ops[:number], op, *ops[number + 1 :]])
            assert is_caught(program, world.inputs, expected), f"{bug.__name__} in {op.name}"


def is_caught(program: Program, inputs: AnyArray, expected: list[AnyArray]) -> bool:
    """A window that moves otherwise also gives another shape, which makes the program illegal."""
    try:
        check_program(program)
    except SelfCheckError:
        return True
    return error(program, inputs, expected) > TOLERANCE


def test_a_bug_is_caught_before_the_first_draw(request: pytest.FixtureRequest) -> None:
    """Negative control of the check that every run makes."""
    world = open_world("digits_conv", request)
    assert check_lowering(world.case, world.network, world.program) < TOLERANCE
    ops = world.program.ops
    with pytest.raises(SelfCheckError, match="not the network of the graph"):
        check_lowering(world.case, world.network, world.program.replaced([other_sign(ops[0]), *ops[1:]]))
