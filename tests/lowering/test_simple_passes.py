"""The passes that rearrange: identities, padding, what is unused, and masks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from bprune.errors import SelfCheckError
from bprune.lowering.ops import (
    Add,
    Affine,
    Concat,
    Conv,
    Dense,
    DepthwiseConv,
    Op,
    Pad,
    Pool,
    Pooling,
    Reduce,
    Reduction,
    Reshape,
    Select,
    Transpose,
)
from bprune.lowering.passes import drop_identities, fold_padding, mask_weights, remove_unused
from bprune.lowering.program import Program, check_program, weights_of
from tests.lowering.agreement import same_numbers
from tests.lowering.programs import FIXED, WORLDS, Builder, posterior_sizes, random_masks
from tests.lowering.reference import sample, standard_noise


def kinds(program: Program) -> list[type[Op]]:
    return [type(op) for op in program.ops]


def checked(before: Program, after: Program) -> Program:
    check_program(after)
    assert same_numbers(before, after)
    return after


IDENTITIES: dict[str, Callable[[Builder, str], str]] = {
    "affine": lambda b, x: b.affine(x, np.ones(4), np.zeros((5, 1))),
    "affine of nothing": lambda b, x: b.affine(x),
    "reshape": lambda b, x: b.reshape(x, 3, 5, 4),
    "two reshapes": lambda b, x: b.reshape(b.reshape(x, 15, 4), 3, 5, 4),
    "transpose": lambda b, x: b.transpose(x, 0, 1, 2),
    "two transposes": lambda b, x: b.transpose(b.transpose(x, 1, 2, 0), 2, 0, 1),
    "a moved axis of length 1": lambda b, x: b.reshape(b.transpose(b.reshape(x, 1, 15, 1, 4), 1, 0, 3, 2), 3, 5, 4),
    "pad": lambda b, x: b.pad(x, (0, 0), (0, 0), (0, 0)),
    "select": lambda b, x: b.select(x, 0, 1, 2, 3),
    "two selections": lambda b, x: b.select(b.select(x, 3, 2, 0, 1), 2, 3, 1, 0),
    "concat": lambda b, x: b.concat(x),
    "pool": lambda b, x: b.pool(x, Pooling.AVERAGE, 1, 1),
}


@pytest.mark.parametrize("name", IDENTITIES)
def test_identities_go(name: str) -> None:
    b = Builder(3, 5, 4)
    program = b.build(b.act(IDENTITIES[name](b, b.act("input"))))
    assert len(checked(program, drop_identities(program)).ops) == 2
    b = Builder(3, 5, 4)
    program = b.build(IDENTITIES[name](b, "input"))
    assert drop_identities(program).outputs == ("input",)
    assert drop_identities(program).ops == ()


@pytest.mark.parametrize("keep_axes", [True, False])
def test_reductions_over_nothing_go(keep_axes: bool) -> None:
    program = Program("x", Builder(4, 1, 3).shapes["input"], (Reduce("y", ("x",), Reduction.SUM, (), False),), ("y",))
    assert drop_identities(program).outputs == ("x",)
    b = Builder(4, 1, 3)
    program = b.build(b.put(Reduce("y", ("input",), Reduction.SUM, (1,), keep_axes)))
    assert kinds(checked(program, drop_identities(program))) == ([] if keep_axes else [Reshape])


def test_what_has_an_effect_stays() -> None:
    b = Builder(3, 4, 4)
    x = b.affine(b.affine("input", np.ones(4), np.ones(4)), [1.0, 1.0, 1.0, 2.0])
    x = b.select(b.transpose(b.reshape(x, 4, 3, 4), 2, 1, 0), 1, 0, 2, 3)
    x = b.pool(b.pad(b.concat(x, x), (0, 1), (0, 0), (0, 0)), Pooling.MAX, 1, 2)
    program = b.build(x)
    new = checked(program, drop_identities(program))
    assert kinds(new) == [Affine, Affine, Reshape, Transpose, Select, Concat, Pad, Pool]
    assert isinstance(new.ops[0], Affine)
    assert new.ops[0].gain is None


def test_chains_that_something_reads_in_between() -> None:
    b = Builder(3, 4, 2)
    first = b.transpose("input", 2, 0, 1)
    second = b.transpose(first, 1, 0, 2)
    program = b.build(second, first)
    new = checked(program, drop_identities(program))
    assert [op.inputs for op in new.ops] == [("input",), ("input",)]


def test_an_output_that_is_dropped_is_given_out_as_what_it_was() -> None:
    b = Builder(4)
    x = b.dense("input", 3)
    program = b.build(b.affine(x, 1.0), b.reshape(x, 3))
    assert checked(program, drop_identities(program)).outputs == (x, x)


@pytest.mark.parametrize("layer", ["conv", "depthwise"])
def test_padding_becomes_pads(layer: str) -> None:
    b = Builder(5, 4, 2)
    x = b.pad(b.pad("input", (1, 0), (0, 2), (0, 0)), (0, 1), (1, 1), (0, 0))
    x = b.conv(x, 3, strides=(2, 1)) if layer == "conv" else b.depthwise(x, 2)
    program = b.build(x)
    new = checked(program, fold_padding(program))
    assert len(new.ops) == 1
    op, old = new.ops[0], program.ops[-1]
    assert isinstance(op, (Conv, DepthwiseConv))
    assert isinstance(old, (Conv, DepthwiseConv))
    assert np.array_equal(np.subtract(op.pads, old.pads), [(1, 1), (1, 3)])


def test_padding_that_others_read_stays_for_them() -> None:
    b = Builder(5, 4, 2)
    x = b.pad("input", (1, 1), (1, 0), (0, 0))
    program = b.build(b.concat(b.conv(x, 3), b.conv(x, 2), b.act(x)))
    new = checked(program, fold_padding(program))
    assert kinds(new)[0] is Pad
    assert [op.inputs for op in new.ops if isinstance(op, Conv)] == [("input",), ("input",)]


def test_padding_of_channels_and_beside_constants_stays() -> None:
    b = Builder(5, 4, 2)
    program = b.build(b.conv(b.pad("input", (1, 0), (0, 0), (0, 1)), 3))
    assert kinds(checked(program, fold_padding(program))) == [Pad, Conv]
    first = WORLDS["with_constants"](0).ops[0]
    assert isinstance(first, Conv)
    b = Builder(3, 5, 2)
    program = b.build(b.put(replace(first, inputs=(b.pad("input", (1, 0), (0, 0), (0, 0)),))))
    assert kinds(checked(program, fold_padding(program))) == [Pad, Conv]


def test_average_pooling_keeps_its_padding() -> None:
    b = Builder(5, 4, 2)
    program = b.build(b.pool(b.pad("input", (1, 1), (1, 1), (0, 0)), Pooling.AVERAGE))
    assert kinds(checked(program, fold_padding(program))) == [Pad, Pool]


def test_unused_operations_go() -> None:
    b = Builder(4)
    x = b.dense("input", 3)
    b.act(b.dense(x, 5))
    program = replace(b.build(b.add(x, x)), outputs=(b.ops[-1].name,))
    assert kinds(remove_unused(program)) == [Dense, Add]
    assert remove_unused(remove_unused(program)).ops == remove_unused(program).ops
    whole = WORLDS["residual"](0)
    assert remove_unused(whole) is whole


@pytest.mark.parametrize("world", WORLDS)
def test_masked_weights_are_zero_and_the_others_as_before(world: str) -> None:
    program = WORLDS[world](0)
    masks = random_masks(program, 0.6, 1)
    masked = mask_weights(program, masks)
    check_program(masked)
    for old, new in zip(program.ops, masked.ops, strict=True):
        for field, weights in weights_of(old).items():
            after = weights_of(new)[field]
            if weights.stream is None:
                assert after is weights
                continue
            kept = masks[weights.stream.posterior]
            drawn, was = (sample(item, standard_noise(3)) for item in (after, weights))
            assert np.array_equal(drawn, np.where(kept, was, 0.0))
            assert np.array_equal(after.live, kept & weights.live)


def test_masks_follow_the_original_ids() -> None:
    b = Builder(4)
    program = b.build(b.dense("input", 3))
    op = program.ops[0]
    assert isinstance(op, Dense)
    program = program.replaced([replace(op, kernel=op.kernel.take((slice(None, None, -1), [2, 0])), bias=None)])
    mask = np.arange(12).reshape(4, 3) != 5  # input 1, unit 2
    new = mask_weights(program, {"dense_0/kernel": mask}).ops[0]
    assert isinstance(new, Dense)
    assert np.argwhere(~new.kernel.live).tolist() == [[2, 0]]


def test_masks_of_other_posteriors_and_full_masks_change_nothing() -> None:
    program = WORLDS["dense_chain"](0)
    masks = {name: np.ones(size, np.bool_) for name, size in posterior_sizes(program).items()}
    new = mask_weights(program, {**masks, "other/kernel": np.zeros(3, np.bool_)})
    assert all(old is op for old, op in zip(program.ops, new.ops, strict=True))


def test_a_mask_of_another_size_is_refused() -> None:
    b = Builder(4)
    program = b.build(b.dense("input", 3, "Normal", FIXED))
    with pytest.raises(SelfCheckError, match="has 3 elements; the posterior has 12"):
        mask_weights(program, {"dense_0/kernel": np.ones(3, np.bool_)})
