"""Compaction, case by case: what goes, what stays, and where constants end up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np
import pytest

from bprune.lowering.ops import (
    Activation,
    Add,
    Affine,
    Bias,
    Conv,
    Dense,
    DepthwiseConv,
    Function,
    Multiply,
    Op,
    Pooling,
    Reshape,
    Select,
)
from bprune.lowering.passes import drop_identities, mask_weights, remove_dead_units
from bprune.lowering.program import Program, check_program, weights_of, with_weights
from bprune.lowering.weights import Weights
from tests.lowering.agreement import same_numbers
from tests.lowering.programs import FIXED, Builder

Kind = TypeVar("Kind", bound=Op)


def cut(
    program: Program, name: str, units: Sequence[int] = (), inputs: Sequence[int] = (), field: str = "kernel"
) -> Program:
    """A program in which some units or inputs of a layer have no live weight."""
    weights = weights_of(program.by_name[name])[field]
    pruned = np.zeros(weights.shape, np.bool_)
    pruned[..., list(units)] = True
    if inputs:
        pruned[..., list(inputs), :] = True
    new = with_weights(program.by_name[name], {field: weights.without(pruned)})
    return program.replaced([new if op.name == name else op for op in program.ops])


def compact(program: Program) -> Program:
    new = remove_dead_units(program)
    check_program(new)
    assert same_numbers(program, new)
    assert remove_dead_units(new) is new
    return new


def find(program: Program, name: str, kind: type[Kind]) -> Kind:
    op = program.by_name[name]
    assert isinstance(op, kind)
    return op


def kinds(program: Program) -> list[type[Op]]:
    return [type(op) for op in program.ops]


def two_layers(family: str = "Normal", bias: str | None = FIXED, first_bias: str | None = FIXED) -> Program:
    b = Builder(5, seed=2)
    x = b.act(b.dense("input", 4, "Normal", first_bias), Function.SIGMOID)
    return b.build(b.dense(x, 3, family, bias))


def test_an_unread_unit_goes() -> None:
    new = compact(cut(two_layers(), "dense_2", inputs=[1, 3]))
    assert find(new, "dense_0", Dense).kernel.shape == (5, 2)
    assert find(new, "dense_0", Dense).bias is not None
    assert find(new, "dense_2", Dense).kernel.shape == (2, 3)


@pytest.mark.parametrize("family", ["Normal", "Laplace", "LogNormal"])
@pytest.mark.parametrize("bias", [None, FIXED, "Normal"])
def test_a_constant_before_sampled_weights_keeps_its_noise(family: str, bias: str | None) -> None:
    program = cut(two_layers(family, bias), "dense_0", units=[0, 2])
    new = compact(program)
    assert find(new, "dense_0", Dense).kernel.shape == (5, 2)
    op, old = find(new, "dense_2", Dense), find(program, "dense_2", Dense)
    assert op.constant is not None
    assert op.constant.shape == (2,)
    assert old.kernel.ids is not None
    assert op.kernel.ids is not None
    assert np.array_equal(op.kernel.ids, old.kernel.ids[[1, 3, 0, 2]])


@pytest.mark.parametrize("bias", [None, FIXED])
def test_a_constant_before_fixed_weights_goes_into_the_bias(bias: str | None) -> None:
    new = compact(cut(two_layers(FIXED, bias), "dense_0", units=[0, 2]))
    op = find(new, "dense_2", Dense)
    assert op.constant is None
    assert op.kernel.shape == (2, 3)
    assert op.bias is not None


def test_a_constant_before_fixed_weights_and_a_sampled_bias_stays_beside_them() -> None:
    op = find(compact(cut(two_layers(FIXED, "Normal"), "dense_0", units=[0])), "dense_2", Dense)
    assert op.constant is not None
    assert op.kernel.shape == (4, 3)


def test_a_constant_zero_vanishes() -> None:
    b = Builder(5, seed=2)
    x = b.act(b.dense("input", 4, bias=None))
    new = compact(cut(b.build(b.dense(x, 3)), "dense_0", units=[0, 2]))
    op = find(new, "dense_2", Dense)
    assert op.constant is None
    assert op.kernel.shape == (2, 3)


def test_a_constant_that_no_live_weight_reads_vanishes() -> None:
    new = compact(cut(cut(two_layers(), "dense_0", units=[0, 2]), "dense_2", inputs=[2]))
    op = find(new, "dense_2", Dense)
    assert op.constant is not None
    assert op.constant.shape == (1,)
    assert op.kernel.shape == (3, 3)


@pytest.mark.parametrize("bias", ["Normal", "LogNormal"])
def test_a_sampled_bias_is_random_until_it_is_pruned(bias: str) -> None:
    program = cut(two_layers(first_bias=bias), "dense_0", units=[0, 2])
    assert find(compact(program), "dense_0", Dense).kernel.shape == (5, 4)
    new = compact(cut(program, "dense_0", units=[2], field="bias"))
    assert find(new, "dense_0", Dense).kernel.shape == (5, 3)
    constant = find(new, "dense_2", Dense).constant
    assert constant is not None
    assert constant.tolist() == [0.5]  # sigmoid of 0


def test_scales_of_zero_are_not_random() -> None:
    program = two_layers("Normal", "Normal", "Normal")
    fixed = [
        with_weights(op, {name: replace(item, scale=np.zeros_like(item.loc)) for name, item in weights_of(op).items()})
        for op in program.ops
    ]
    new = compact(cut(program.replaced(fixed), "dense_0", units=[1]))
    op = find(new, "dense_2", Dense)
    assert op.constant is None
    assert op.bias is not None
    assert not op.bias.is_sampled


def test_it_goes_on_to_a_fixed_point() -> None:
    b = Builder(5, seed=2)
    x = "input"
    for _ in range(4):
        x = b.act(b.dense(x, 4, bias=None))
    program = b.build(b.dense(x, 3))
    new = compact(cut(program, "dense_2", units=[0, 1, 2]))
    assert [new.shapes[f"dense_{number}"].units for number in (0, 2, 4, 6, 8)] == [4, 1, 4, 4, 3]
    program = cut(cut(program, "dense_6", inputs=[1, 2]), "dense_4", inputs=[0, 3])
    assert [compact(program).shapes[f"dense_{number}"].units for number in (0, 2, 4, 6)] == [4, 2, 2, 4]


def test_chains_of_dead_units_fall_together() -> None:
    b = Builder(5, seed=2)
    first = b.act(b.dense("input", 4))
    second = b.act(b.dense(first, 3, bias=None))
    program = b.build(b.dense(second, 2))
    program = cut(program, "dense_4", inputs=[0])  # so unit 0 of dense_2 goes, and all that leads to it alone
    kernel = find(program, "dense_2", Dense).kernel
    alone = np.zeros(kernel.shape, np.bool_)
    alone[1, 1:] = True
    op = replace(find(program, "dense_2", Dense), kernel=kernel.without(alone))
    new = compact(program.replaced([op if item.name == "dense_2" else item for item in program.ops]))
    assert new.shapes["dense_0"].units == 3
    assert new.shapes["dense_2"].units == 2


def test_a_layer_that_loses_everything_stays_legal() -> None:
    new = compact(cut(two_layers(), "dense_0", units=range(4)))
    assert new.shapes["dense_0"].units == 1
    new = compact(cut(two_layers(), "dense_2", units=range(3)))
    assert new.shapes["dense_2"].units == 3
    assert find(new, "dense_2", Dense).kernel.shape == (1, 3)


def test_dead_pixels_are_selected_away() -> None:
    b = Builder(4, 3, 1, seed=1)
    x = b.dense(b.affine(b.flatten("input"), 0.5, 0.1), 3)
    new = compact(cut(b.build(x), x, inputs=[0, 7]))
    assert find(new, x, Dense).kernel.shape == (10, 3)
    select = find(new, find(new, x, Dense).inputs[0], Select)
    assert select.units.tolist() == [1, 2, 3, 4, 5, 6, 8, 9, 10, 11]
    b = Builder(4, 3, 3, seed=1)
    x = b.conv("input", 2)
    assert find(compact(cut(b.build(x), x, inputs=[1])), x, Conv).kernel.shape == (3, 2, 2, 2)


@pytest.mark.parametrize(("dead", "rows"), [([0, 7], 12), ([0, 4, 8], 9), ([0, 3, 6, 9], 8)])
def test_features_of_a_flattened_channel_go_together_or_are_selected(dead: list[int], rows: int) -> None:
    b = Builder(2, 2, 2, seed=1)
    x = b.flatten(b.act(b.conv("input", 3)))
    new = compact(cut(b.build(b.dense(x, 2)), "dense_3", inputs=dead))
    assert find(new, "dense_3", Dense).kernel.shape == (rows, 2)
    assert new.shapes["conv_0"].units == (2 if dead == [0, 3, 6, 9] else 3)
    assert (Select in kinds(new)) == (dead == [0, 4, 8])


@pytest.mark.parametrize("function", [Function.SOFTPLUS, Function.RELU])
def test_constant_filters_with_a_border(function: Function) -> None:
    b = Builder(5, 4, 2, seed=4)
    x = b.act(b.norm(b.conv("input", 4)), function)
    x = b.conv(x, 3, "Normal", strides=(2, 1), dilation=2)
    new = compact(cut(b.build(b.dense(b.flatten(x), 2)), "conv_0", units=[0, 2]))
    assert new.shapes["conv_0"].units == 2
    affine = find(new, "affine_1", Affine)
    assert affine.gain is not None
    assert affine.gain.shape == (2,)


@pytest.mark.parametrize(("pads", "constants"), [("same", 2), ("valid", 0)])
def test_constant_filters_before_fixed_ones(pads: str, constants: int) -> None:
    """Without zeros around the picture the constants add the same everywhere: to the bias."""
    b = Builder(5, 4, 2, seed=4)
    x = b.act(b.conv("input", 4), Function.SOFTPLUS)
    new = compact(cut(b.build(b.conv(x, 3, FIXED, pads=pads)), "conv_0", units=[0, 2]))
    constant = find(new, "conv_2", Conv).constant
    assert (0 if constant is None else constant.shape[-1]) == constants


def test_constants_through_pooling_padding_and_flatten() -> None:
    b = Builder(6, 5, 2, seed=4)
    x = b.act(b.conv("input", 4), Function.SOFTPLUS)
    x = b.pad(b.pool(x, Pooling.MAX, 3, 2, ((0, 1), (1, 1))), (1, 0), (0, 2), (0, 0))
    x = b.flatten(b.pool(x, Pooling.AVERAGE, 2, 1, ((0, 1), (0, 0))))
    new = compact(cut(b.build(b.dense(x, 3)), "conv_0", units=[1]))
    assert new.shapes["conv_0"].units == 3
    assert find(new, x, Reshape).shape == (new.shapes[x].size,)
    constant = find(new, "dense_6", Dense).constant
    assert constant is not None
    assert np.unique(constant).size > 1  # the zeros of the padding


def residual() -> Program:
    b = Builder(4, 4, 2, seed=4)
    x = b.act(b.conv("input", 4))
    y = b.conv(b.act(b.conv(x, 3)), 4)
    return b.build(b.dense(b.reduce(b.add(x, y)), 2))


def test_both_sides_of_a_sum_keep_what_one_needs() -> None:
    program = cut(residual(), "conv_4", units=[0])
    new = compact(program)
    assert new.shapes["conv_0"].units == new.shapes["conv_4"].units == 4
    new = compact(cut(program, "dense_7", inputs=[0, 3]))
    assert new.shapes["conv_0"].units == new.shapes["conv_4"].units == 4  # the branch reads what the end does not
    assert find(new, "dense_7", Dense).kernel.shape == (2, 2)
    assert Select in kinds(new)


def test_a_unit_of_a_sum_goes_when_no_one_reads_it() -> None:
    new = compact(cut(cut(residual(), "dense_7", inputs=[1]), "conv_2", inputs=[1]))
    assert new.shapes["conv_0"].units == new.shapes["conv_4"].units == new.shapes["add_5"].units == 3


def test_an_empty_branch_of_a_sum_goes_as_a_whole() -> None:
    new = drop_identities(compact(cut(residual(), "conv_4", units=range(4))))
    assert Add not in kinds(new)
    assert [op.name for op in new.ops if isinstance(op, Conv)] == ["conv_0"]


def test_an_empty_gate_becomes_a_gain() -> None:
    b = Builder(4, 4, 2, seed=4)
    x = b.act(b.conv("input", 4))
    gate = b.act(b.dense(b.reduce(x, keep_axes=True), 4), Function.SIGMOID)
    program = b.build(b.dense(b.flatten(b.multiply(x, gate)), 2))
    new = compact(cut(program, "dense_3", units=range(4)))
    assert Multiply not in kinds(new)
    assert find(new, "multiply_5", Affine).gain is not None
    assert compact(cut(program, "dense_3", units=[2])).shapes["conv_0"].units == 4


def test_a_product_with_zero_goes() -> None:
    b = Builder(6, seed=4)
    x, y = b.act(b.dense("input", 4, bias=None)), b.act(b.dense("input", 4))
    program = b.build(b.dense(b.multiply(x, y), 2))
    assert compact(cut(program, "dense_0", units=[0, 1])).shapes["multiply_4"].units == 2


def test_concat_loses_units_of_every_part() -> None:
    b = Builder(4, 4, 2, seed=4)
    x, y = b.conv("input", 3), b.act(b.conv("input", 4, bias=None))
    program = b.build(b.conv(b.concat(y, x), 3))
    new = compact(cut(cut(program, "conv_1", units=[0, 2]), "conv_4", inputs=[5]))
    assert new.shapes["conv_1"].units == 2
    assert new.shapes["conv_0"].units == 2
    assert find(new, "conv_4", Conv).kernel.shape[2] == 4


@pytest.mark.parametrize("multiplier", [1, 2])
def test_depthwise_filters(multiplier: int) -> None:
    b = Builder(4, 4, 2, seed=4)
    x = b.act(b.depthwise(b.act(b.conv("input", 3), Function.SOFTPLUS), multiplier))
    program = b.build(b.conv(x, 2))
    kernel = find(program, "depthwise_2", DepthwiseConv).kernel
    pruned = np.zeros(kernel.shape, np.bool_)
    pruned[:, :, 1] = True
    op = replace(find(program, "depthwise_2", DepthwiseConv), kernel=kernel.without(pruned))
    dead = program.replaced([op if item.name == "depthwise_2" else item for item in program.ops])
    assert compact(dead).shapes["conv_0"].units == 2
    new = compact(cut(program, "conv_0", units=[1]))  # sampled weights times a constant are no constant
    assert find(new, "depthwise_2", DepthwiseConv).kernel.shape == (3, 2, 3, multiplier)


@pytest.mark.parametrize("end", ["softmax", "output", "transpose"])
def test_barriers_keep_all_units(end: str) -> None:
    b = Builder(3, 2, seed=4)
    x = b.dense("input", 4)
    if end == "softmax":
        y = b.build(b.dense(b.act(x, Function.SOFTMAX), 2))
    elif end == "transpose":
        y = b.build(b.dense(b.transpose(x, 1, 0), 2))
    else:
        y = b.build(b.dense(x, 2), x)
    new = compact(cut(y, "dense_0", units=[0, 1]))
    assert new.shapes["dense_0"].units == 4


def test_a_picture_made_of_features() -> None:
    """Features f of a dense layer that become channel f mod 4 go when the channel goes."""
    b = Builder(3, seed=4)
    x = b.reshape(b.act(b.dense("input", 24)), 3, 2, 4)
    program = b.build(b.reduce(b.conv(x, 2)))
    new = compact(cut(program, "conv_3", inputs=[1]))
    assert find(new, "dense_0", Dense).kernel.shape == (3, 18)
    assert find(new, "reshape_2", Reshape).shape == (3, 2, 3)
    assert compact(cut(program, "dense_0", units=range(0, 24, 4))).shapes["reshape_2"].units == 3
    assert compact(cut(program, "dense_0", units=range(0, 23, 4))).shapes["reshape_2"].units == 3
    assert compact(cut(program, "dense_0", units=range(0, 19, 4))).shapes["reshape_2"].units == 4


def test_a_pruned_bias_operation_becomes_a_shift() -> None:
    b = Builder(3, seed=4)
    x = b.sampled_bias(b.act(b.dense("input", 4)))
    program = cut(b.build(b.dense(x, 2)), "bias_2", units=range(4), field="bias")
    assert Bias not in kinds(compact(program))


def test_infinite_constants_are_left_to_the_run() -> None:
    b = Builder(3, seed=4)
    x = b.act(b.affine(b.dense("input", 3), 1.0, 100.0), Function.EXP)
    program = cut(b.build(b.act(b.dense(b.act(x, Function.RECIPROCAL), 2))), "dense_0", units=[1])
    new = remove_dead_units(program)
    check_program(new)
    assert new.shapes["dense_0"].units == 3


def test_fixed_networks_shrink_too() -> None:
    b = Builder(4, seed=1)
    x = b.act(b.dense("input", 5, FIXED))
    program = cut(b.build(b.dense(x, 2, FIXED)), "dense_0", units=[0, 3])
    new = compact(program)
    assert kinds(new) == [Dense, Activation, Dense]
    assert new.shapes["dense_0"].units == 3


def test_the_given_program_is_left_as_it_was() -> None:
    program = two_layers()
    masks = {"dense_0/kernel": np.arange(20).reshape(5, 4) % 4 > 1}
    before = [np.copy(item.loc) for op in program.ops for item in weights_of(op).values()]
    remove_dead_units(mask_weights(program, masks))
    after = [item.loc for op in program.ops for item in weights_of(op).values()]
    assert all(np.array_equal(old, new) for old, new in zip(before, after, strict=True))


def test_compacted_weights_lie_in_order_of_memory() -> None:
    b = Builder(4, 4, 2, seed=4)
    program = b.build(b.conv(b.act(b.conv("input", 5)), 3))
    new = compact(cut(cut(program, "conv_0", units=[0]), "conv_2", inputs=[2]))
    items: list[Weights] = [item for op in new.ops for item in weights_of(op).values()]
    assert all(item.loc.flags.c_contiguous for item in items)
    assert all(item.loc.dtype == np.float32 for item in items)
    assert all(item.ids is None or item.ids.dtype == np.int32 for item in items)
