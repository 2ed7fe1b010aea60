"""Affine maps and biases fold into their neighbours, exactly or not at all."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bprune.lowering.ops import Add, Affine, Bias, Conv, Dense, DepthwiseConv, Function, Op, Reshape
from bprune.lowering.passes import fold_affine, mask_weights
from bprune.lowering.passes.scaling import per_unit, scaled, shifted
from bprune.lowering.program import Program, check_program
from bprune.lowering.weights import Weights
from tests.lowering.agreement import same_numbers
from tests.lowering.programs import FIXED, WORLDS, Builder, random_masks

GAIN, SHIFT = [0.5, -1.5, 2.0], [0.3, -0.4, 1.0]


def kinds(program: Program) -> list[type[Op]]:
    return [type(op) for op in program.ops]


def folded(program: Program) -> Program:
    new = fold_affine(program)
    check_program(new)
    assert same_numbers(program, new)
    return new


def behind(layer: str, family: str, bias: str | None, gain: object, shift: object) -> Program:
    b = Builder(4, 5, 3, seed=3)
    if layer == "dense":
        x = b.dense("input", 3, family, bias)
    else:
        x = b.conv("input", 3, family, bias) if layer == "conv" else b.depthwise("input", 1, family, bias)
    return b.build(b.affine(x, gain, shift))


@pytest.mark.parametrize("layer", ["dense", "conv", "depthwise"])
@pytest.mark.parametrize("family", [FIXED, "Normal", "Laplace"])
@pytest.mark.parametrize("bias", [None, FIXED])
@pytest.mark.parametrize(("gain", "shift"), [(GAIN, SHIFT), (None, SHIFT), (GAIN, None), (0.5, -0.2)])
def test_behind_a_layer(layer: str, family: str, bias: str | None, gain: object, shift: object) -> None:
    new = folded(behind(layer, family, bias, gain, shift))
    assert len(new.ops) == 1
    assert isinstance(new.ops[0], (Dense, Conv, DepthwiseConv))


@pytest.mark.parametrize("family", [FIXED, "Laplace"])
def test_a_sampled_bias_takes_the_gain_and_not_the_shift(family: str) -> None:
    new = folded(behind("dense", family, "Normal", GAIN, SHIFT))
    assert kinds(new) == [Dense, Affine]
    affine = new.ops[1]
    assert isinstance(affine, Affine)
    assert affine.gain is None
    assert kinds(folded(behind("dense", family, "Normal", GAIN, None))) == [Dense]
    assert kinds(folded(behind("dense", family, "LogNormal", GAIN, SHIFT))) == [Dense, Affine]


def test_a_lognormal_kernel_takes_the_shift_and_not_the_gain() -> None:
    program = behind("conv", "LogNormal", None, GAIN, SHIFT)
    new = folded(program)
    assert kinds(new) == [Conv, Affine]
    affine, conv = new.ops[1], new.ops[0]
    assert isinstance(affine, Affine)
    assert isinstance(conv, Conv)
    assert affine.shift is None
    assert conv.bias is not None
    assert kinds(folded(behind("conv", "LogNormal", FIXED, None, SHIFT))) == [Conv]
    assert fold_affine(behind("conv", "LogNormal", None, [0.0, 1.0, 2.0], SHIFT)).ops[1] is not affine
    assert kinds(folded(behind("conv", "LogNormal", None, [0.0, 1.0, 2.0], SHIFT))) == [Conv, Affine]


def test_negative_gains_keep_the_draws() -> None:
    new = fold_affine(behind("dense", "Normal", None, GAIN, None)).ops[0]
    assert isinstance(new, Dense)
    assert new.kernel.scale is not None
    assert (np.sign(new.kernel.scale) == [1.0, -1.0, 1.0]).all()


@pytest.mark.parametrize("layer", ["dense", "conv", "depthwise"])
def test_the_multiplier_of_a_depthwise_layer_and_every_rank(layer: str) -> None:
    b = Builder(5, 4, 2, seed=1)
    x = {"dense": b.dense, "conv": b.conv}[layer]("input", 6) if layer != "depthwise" else b.depthwise("input", 3)
    assert len(folded(b.build(b.norm(x))).ops) == 1


def in_front(layer: str, family: str, bias: str | None, gain: object, shift: object, pads: str = "valid") -> Program:
    b = Builder(4, 5, 3, seed=3)
    x = b.affine("input", gain, shift)
    if layer == "dense":
        return b.build(b.dense(x, 2, family, bias))
    if layer == "conv":
        return b.build(b.conv(x, 2, family, bias, pads=pads))
    x = b.depthwise(x, 2, family, bias)
    depthwise = b.ops[-1]
    assert isinstance(depthwise, DepthwiseConv)
    pads_of = depthwise.pads if pads == "same" else ((0, 0), (0, 0))
    return b.build(x).replaced([b.ops[0], replace(depthwise, pads=pads_of)])


@pytest.mark.parametrize("layer", ["dense", "conv", "depthwise"])
@pytest.mark.parametrize(
    ("family", "bias", "gain", "shift", "pads", "folds"),
    [
        (FIXED, None, GAIN, SHIFT, "valid", True),
        (FIXED, FIXED, 0.5, 0.25, "valid", True),
        (FIXED, FIXED, GAIN, None, "same", True),
        (FIXED, FIXED, GAIN, SHIFT, "same", False),
        ("Normal", "Normal", GAIN, None, "same", True),
        ("Laplace", FIXED, GAIN, SHIFT, "valid", False),
        (FIXED, "Normal", GAIN, SHIFT, "valid", False),
        ("LogNormal", None, GAIN, None, "valid", False),
    ],
)
def test_in_front_of_a_layer(
    layer: str, family: str, bias: str | None, gain: object, shift: object, pads: str, folds: bool
) -> None:
    new = folded(in_front(layer, family, bias, gain, shift, pads))
    no_border = layer == "dense" and family == FIXED and bias == FIXED
    assert (len(new.ops) == 1) == (folds or no_border)


def test_numbers_that_differ_within_a_unit_stay() -> None:
    b = Builder(4, 5, 3, seed=3)
    b.affine(b.conv("input", 3), b.rng.normal(size=(4, 1, 3)), None)
    x = b.conv(b.affine(b.ops[-1].name, None, b.rng.normal(size=(4, 5, 1))), 2, FIXED)
    assert kinds(folded(b.build(x))) == [Conv, Affine, Conv]


def test_chains_become_one() -> None:
    b = Builder(3, 2, seed=3)
    x = b.affine(b.affine("input", [2.0, -1.0], None), None, [[1.0], [2.0], [3.0]])
    x = b.affine(b.affine(x, np.full((3, 1), 0.5), [0.1, 0.2]), -3.0, 1.0)
    new = folded(b.build(x))
    assert kinds(new) == [Affine]
    b = Builder(3, seed=3)
    x = b.affine(b.affine(b.dense("input", 4, "LogNormal"), 2.0, 1.0), 3.0, -1.0)
    assert kinds(folded(b.build(b.norm(b.norm(x))))) == [Dense, Affine]


def test_a_tensor_that_something_else_reads_stays() -> None:
    b = Builder(3, seed=3)
    x = b.dense("input", 3)
    assert kinds(folded(b.build(b.add(x, b.norm(x))))) == [Dense, Affine, Add]
    b = Builder(3, seed=3)
    x = b.dense("input", 3)
    assert kinds(folded(b.build(x, b.norm(x)))) == [Dense, Affine]


def test_a_sampled_bias_joins_its_layer() -> None:
    b = Builder(4, 4, 2, seed=3)
    x = b.norm(b.sampled_bias(b.conv("input", 3, bias=None)))
    x = b.sampled_bias(b.dense(x, 3, bias=FIXED))
    new = folded(b.build(x))
    assert kinds(new) == [Conv, Affine, Dense, Bias]
    conv = new.ops[0]
    assert isinstance(conv, Conv)
    assert conv.bias is not None
    assert conv.bias.is_sampled


def test_through_flatten() -> None:
    b = Builder(4, 3, 2, seed=3)
    x = b.flatten(b.norm(b.act(b.conv("input", 3))))
    new = folded(b.build(b.dense(x, 2, FIXED, FIXED)))
    assert [kind.__name__ for kind in kinds(new)] == ["Conv", "Activation", "Reshape", "Dense"]
    x = b.flatten(b.affine(b.act("input", Function.TANH), None, SHIFT[:2]))
    new = folded(b.build(b.dense(x, 2, "Normal")))  # a sampled kernel takes no shift, so nothing moves
    assert kinds(new)[-2:] == [Reshape, Dense]
    assert isinstance(new.ops[-3], Affine)


def test_constant_units_are_not_scaled() -> None:
    program = WORLDS["with_constants"](1)
    first = replace(program.ops[0], inputs=("scaled",))
    program = program.replaced(
        [Affine("scaled", ("input",), np.asarray([2.0, 3.0], np.float32)), first, *program.ops[1:]]
    )
    assert len(folded(program).ops) == len(program.ops)


@pytest.mark.parametrize("world", WORLDS)
def test_folding_and_masking_commute(world: str) -> None:
    program = WORLDS[world](2)
    masks = random_masks(program, 0.5, 3)
    first, second = mask_weights(fold_affine(program), masks), fold_affine(mask_weights(program, masks))
    assert same_numbers(mask_weights(program, masks), first)
    assert same_numbers(first, second)


def test_numbers_beyond_float32_are_left_alone() -> None:
    huge = np.float64(1e39)
    assert scaled(Weights(np.asarray([[2.0]], np.float32)), np.asarray([huge])) is None
    assert shifted(None, np.asarray([huge])) is None
    b = Builder(3, seed=3)
    kernel = Weights(np.full((3, 3), 10.0, np.float32))
    x = b.put(Dense("large", ("input",), kernel))
    assert kinds(fold_affine(b.build(b.affine(x, [3e38] * 3)))) == [Dense, Affine]
    b = Builder(3, seed=3)
    assert kinds(fold_affine(b.build(b.affine(b.affine("input", 1e30), 1e30)))) == [Affine, Affine]


def test_per_unit() -> None:
    assert per_unit(None, (2, 3), 1.0) is not None
    assert per_unit(np.ones((2, 1)), (2, 3), 1.0) is not None
    assert per_unit(np.asarray([[1.0], [2.0]]), (2, 3), 1.0) is None
    found = per_unit(np.asarray([1.0, 2.0, 3.0]), (2, 3), 1.0)
    assert found is not None
    assert found.tolist() == [1.0, 2.0, 3.0]
