"""The size of a program, counted by hand."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import numpy as np

from bprune.lowering.ops import Bias
from bprune.lowering.passes import mask_weights, remove_dead_units
from bprune.lowering.program import Program
from bprune.lowering.size import LayerSize, compare_sizes, measure
from tests.lowering.programs import FIXED, WORLDS, Builder, posterior_sizes


def network() -> Program:
    b = Builder(6, 5, 2, seed=1)
    x = b.conv("input", 4, "Normal", FIXED, strides=(2, 1))  # 3 x 5 positions, window 3 x 2
    x = b.depthwise(x, 2, "Laplace", None)  # window 3 x 2
    return b.build(b.dense(b.flatten(x), 3, FIXED, "Normal"))


def test_counts_by_hand() -> None:
    conv, depthwise, dense = measure(network()).layers
    assert conv == LayerSize("conv_0", 2, 4, 3 * 2 * 2 * 4 + 4, 52, 48, 15 * 48, 4 * (2 * 48 + 4))
    assert depthwise == LayerSize("depthwise_1", 4, 8, 48, 48, 48, 15 * 48, 4 * 2 * 48)
    assert dense == LayerSize("dense_3", 120, 3, 363, 363, 3, 360, 4 * (360 + 6))


def test_the_total_is_the_sum() -> None:
    size = measure(network())
    for field, number in asdict(size.total).items():
        if field != "layer":
            assert number == sum(asdict(layer)[field] for layer in size.layers)
    assert size.total.multiply_adds == 2 * 15 * 48 + 360


def test_masked_weights_are_stored_and_not_live() -> None:
    program = network()
    masks = {name: np.arange(count) % 3 == 0 for name, count in posterior_sizes(program).items()}
    conv, depthwise, dense = measure(mask_weights(program, masks)).layers
    assert (conv.weights, conv.live_weights, conv.sampled_weights) == (52, 16 + 4, 16)
    assert (depthwise.weights, depthwise.live_weights) == (48, 16)
    assert (dense.live_weights, dense.sampled_weights) == (361, 1)


def test_constant_units_count_as_weights_and_not_as_units() -> None:
    first, second = measure(WORLDS["with_constants"](0)).layers
    assert (first.units_in, first.weights, first.multiply_adds) == (2, 3 * 3 * 4 * 3, 4 * 5 * 108)
    assert first.parameter_bytes == 4 * (2 * 108 + 4 * 5 * 2)
    assert (second.units_in, second.weights) == (3, 24)


def test_a_bias_is_a_part_of_its_layer_or_a_layer() -> None:
    b = Builder(4, seed=1)
    program = b.build(b.sampled_bias(b.dense("input", 3, bias=None)))
    dense, bias = program.ops
    assert isinstance(bias, Bias)
    assert [layer.units_out for layer in measure(program).layers] == [3, 3]
    (layer,) = measure(program.replaced([dense, replace(bias, layer="dense_0")])).layers
    assert (layer.units_in, layer.units_out, layer.weights, layer.multiply_adds) == (4, 3, 15, 12)


def test_a_layer_that_is_called_twice_counts_twice() -> None:
    b = Builder(4, seed=1)
    program = b.build(b.dense(b.dense("input", 4, FIXED), 4, FIXED))
    ops = [replace(op, layer="twice") for op in program.ops]  # type: ignore[call-arg]
    (layer,) = measure(program.replaced(ops)).layers
    assert (layer.units_out, layer.weights) == (8, 40)


def test_comparison_of_a_pruned_network() -> None:
    program = network()
    masks = {"conv_0/kernel": np.arange(48).reshape(3, 2, 2, 4) % 4 > 0}
    after = remove_dead_units(mask_weights(program, masks))
    comparison = compare_sizes(program, after)
    assert [row.layer for row in comparison.rows] == ["conv_0", "depthwise_1", "dense_3"]
    assert comparison.rows[0].before.units_out == 4
    assert comparison.total.before == measure(program).total
    assert comparison.total.after == measure(after).total
    assert comparison.total.after.weights <= comparison.total.before.weights
    assert json.loads(json.dumps(asdict(comparison)))["total"]["before"]["units_in"] == 2 + 4 + 120


def test_a_layer_that_is_gone_has_nothing_after() -> None:
    b = Builder(4, 4, 2, seed=4)
    x = b.conv("input", 3)
    program = b.build(b.conv(b.add(x, b.conv(x, 3, bias=None)), 2))
    after = remove_dead_units(mask_weights(program, {"conv_1/kernel": np.zeros(54, np.bool_)}))
    assert compare_sizes(program, after).rows[1].after == LayerSize("conv_1")
    assert compare_sizes(after, program).rows[-1].before == LayerSize("conv_1")
