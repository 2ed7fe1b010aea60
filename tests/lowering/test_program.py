"""Programs, shapes and weights: what is legal, and what is refused with which words."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bprune.errors import SelfCheckError
from bprune.lowering.ops import (
    Activation,
    Add,
    Affine,
    Bias,
    Concat,
    Conv,
    Dense,
    DepthwiseConv,
    Function,
    Multiply,
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
from bprune.lowering.program import Program, check_program, weights_of, with_weights
from bprune.lowering.shapes import Shape, ShapeError, output_shape, window_positions
from bprune.lowering.weights import Stream, Weights
from tests.lowering.programs import WORLDS, Builder


def fixed(*shape: int) -> Weights:
    return Weights(np.ones(shape, np.float32))


def sampled(*shape: int, name: str = "a/kernel", first: int = 0, size: int = 0) -> Weights:
    count = int(np.prod(shape))
    ids = np.arange(first, first + count, dtype=np.int32).reshape(shape)
    ones = np.ones(shape, np.float32)
    return Weights(ones, ones, "Normal", Stream(name, 0, size or count), ids)


@pytest.mark.parametrize("world", WORLDS)
def test_worlds_are_legal(world: str) -> None:
    check_program(WORLDS[world](0))


def program(*ops: Op, outputs: tuple[str, ...] = ("y",), shape: tuple[int, ...] = (3,)) -> Program:
    return Program("x", Shape(shape), ops, outputs)


NAN = Weights(np.full((3, 2), np.nan, np.float32))
ILLEGAL: dict[str, tuple[Program, str]] = {
    "a name twice": (program(Affine("y", ("x",)), Affine("y", ("x",))), "'y' is made twice"),
    "the input made": (program(Affine("x", ("x",))), "'x' is made twice"),
    "reads the future": (program(Affine("y", ("z",)), Affine("z", ("x",))), "'y' reads 'z', which is not made"),
    "no such output": (program(Affine("z", ("x",))), "the output 'y' is not made"),
    "no output": (program(Affine("z", ("x",)), outputs=()), "the output '' is not made"),
    "weights that are not numbers": (program(Dense("y", ("x",), NAN)), r"'y' \(kernel\) has weights that are not fin"),
    "infinite scales": (
        program(Dense("y", ("x",), replace(sampled(3, 2), scale=np.full((3, 2), np.inf, np.float32)))),
        "not finite",
    ),
    "a stream twice": (
        program(Dense("z", ("x",), sampled(3, 3)), Dense("y", ("z",), sampled(3, 3))),
        r"'y' \(kernel\) samples the same noise as 'z' \(kernel\)",
    ),
    "ids outside": (program(Dense("y", ("x",), sampled(3, 2, first=1, size=6))), "ids outside of its stream"),
    "an id twice": (
        program(Dense("y", ("x",), replace(sampled(3, 2), ids=np.zeros((3, 2), np.int32)))),
        "samples an element twice",
    ),
    "a shape": (program(Dense("y", ("x",), fixed(4, 2))), r"the kernel's input has the size \[4\]; it must have \[3\]"),
}


@pytest.mark.parametrize("name", ILLEGAL)
def test_illegal_programs(name: str) -> None:
    wrong, message = ILLEGAL[name]
    with pytest.raises(SelfCheckError, match=message):
        check_program(wrong)


def test_a_layer_may_be_called_twice() -> None:
    first, second = sampled(3, 3), sampled(3, 3)
    assert second.stream is not None
    again = replace(second, stream=replace(second.stream, call=1))
    check_program(program(Dense("z", ("x",), first), Dense("y", ("z",), again)))


def test_program_answers() -> None:
    b = Builder(3)
    x = b.dense("input", 2)
    y = b.add(x, x)
    made = b.build(b.act(y), x)
    assert made.by_name[x] is made.ops[0]
    assert [op.name for op in made.consumers[x]] == [y]
    assert made.consumers["input"] == (made.ops[0],)
    assert made.shapes[y] == (2,)
    new = made.replaced([made.ops[0], made.ops[2]], {y: "between", "between": x})
    assert new.ops[1].inputs == (x,)
    assert new.outputs == made.outputs


def test_weights_of_operations() -> None:
    dense = Dense("y", ("x",), fixed(3, 2), fixed(2))
    assert set(weights_of(dense)) == {"kernel", "bias"}
    assert set(weights_of(replace(dense, bias=None))) == {"kernel"}
    assert set(weights_of(Bias("y", ("x",), fixed(2)))) == {"bias"}
    assert weights_of(Affine("y", ("x",))) == {}
    assert weights_of(with_weights(dense, {"bias": fixed(2).mean()}))["kernel"] is dense.kernel


PICTURE, FEATURES = Shape((6, 5, 2)), Shape((4,))
ONES, NONE = (1, 1), ((0, 0), (0, 0))
LEGAL: list[tuple[Op, list[Shape], tuple[int, ...]]] = [
    (Dense("y", ("x",), fixed(4, 3), fixed(3)), [FEATURES], (3,)),
    (Dense("y", ("x",), fixed(2, 3)), [PICTURE], (6, 5, 3)),
    (Dense("y", ("x",), fixed(6, 3), None, np.ones(2)), [FEATURES], (3,)),
    (Conv("y", ("x",), fixed(3, 2, 2, 7), None, (2, 1), NONE, ONES), [PICTURE], (2, 4, 7)),
    (Conv("y", ("x",), fixed(3, 2, 2, 7), None, ONES, ((1, 1), (0, 1)), (2, 3)), [PICTURE], (4, 3, 7)),
    (Conv("y", ("x",), fixed(2, 3, 1), None, (1,), ((0, 0),), (1,), np.ones((5, 1))), [Shape((5, 2))], (4, 1)),
    (DepthwiseConv("y", ("x",), fixed(3, 3, 2, 4), fixed(8), ONES, NONE, ONES), [PICTURE], (4, 3, 8)),
    (Bias("y", ("x",), fixed(4)), [FEATURES], (4,)),
    (Affine("y", ("x",), np.ones((5, 1)), np.ones(2)), [PICTURE], (6, 5, 2)),
    (Activation("y", ("x",), Function.SOFTMAX), [FEATURES], (4,)),
    (Pool("y", ("x",), Pooling.MAX, (2, 2), (2, 2), ((0, 0), (0, 1))), [PICTURE], (3, 3, 2)),
    (Reduce("y", ("x",), Reduction.MEAN, (0, 1)), [PICTURE], (2,)),
    (Reduce("y", ("x",), Reduction.MAX, (1,), True), [PICTURE], (6, 1, 2)),
    (Reshape("y", ("x",), (10, 6)), [PICTURE], (10, 6)),
    (Transpose("y", ("x",), (2, 0, 1)), [PICTURE], (2, 6, 5)),
    (Pad("y", ("x",), ((1, 0), (0, 2), (0, 0))), [PICTURE], (7, 7, 2)),
    (Select("y", ("x",), np.asarray([3, 0, 3])), [FEATURES], (3,)),
    (Add("y", ("x", "z")), [PICTURE, Shape((1, 5, 1))], (6, 5, 2)),
    (Multiply("y", ("x", "z")), [Shape((2,)), PICTURE], (6, 5, 2)),
    (Concat("y", ("x", "z"), 1), [PICTURE, Shape((6, 1, 2))], (6, 6, 2)),
]


@pytest.mark.parametrize("case", range(len(LEGAL)))
def test_shapes(case: int) -> None:
    op, inputs, expected = LEGAL[case]
    assert output_shape(op, inputs) == expected


WRONG: list[tuple[Op, list[Shape], str]] = [
    (Dense("y", ("x",), fixed(4, 3), fixed(2)), [FEATURES], r"the bias has the size \[2\]; it must have \[3\]"),
    (Dense("y", ("x",), fixed(4)), [FEATURES], "a dense kernel of the shape"),
    (Dense("y", ("x",), fixed(3, 3), None, np.ones((2, 1))), [FEATURES], r"a constant of the shape \(2, 1\)"),
    (Conv("y", ("x",), fixed(3, 2, 2, 7), None, ONES, NONE, ONES), [FEATURES], "a convolution kernel of the shape"),
    (Conv("y", ("x",), fixed(3, 6, 2, 7), None, ONES, NONE, ONES), [PICTURE], "a window of 6 does not fit an axis of"),
    (Conv("y", ("x",), fixed(3, 2, 2, 7), None, (0, 1), NONE, ONES), [PICTURE], "at least 1, pads at least 0"),
    (Conv("y", ("x",), fixed(3, 2, 2, 7), None, (1,), NONE, ONES), [PICTURE], "a window over 2 axes does not fit"),
    (DepthwiseConv("y", ("x",), fixed(3, 3, 3, 1), None, ONES, NONE, ONES), [PICTURE], "a depthwise kernel of the"),
    (Bias("y", ("x",), fixed(3)), [FEATURES], "the bias has the size"),
    (Affine("y", ("x",), np.ones(3)), [FEATURES], "do not fit together"),
    (Affine("y", ("x",), np.ones((2, 4))), [FEATURES], "a factor or shift of the shape"),
    (Activation("y", ("x",), Function.SOFTMAX), [Shape(())], "softmax needs an axis"),
    (Reduce("y", ("x",), Reduction.MEAN, (1, 0)), [PICTURE], "are not ascending axes"),
    (Reduce("y", ("x",), Reduction.MEAN, (3,)), [PICTURE], "are not ascending axes"),
    (Reshape("y", ("x",), (7, 6)), [PICTURE], "has not as many elements"),
    (Transpose("y", ("x",), (0, 1, 1)), [PICTURE], "is no order of the axes"),
    (Pad("y", ("x",), ((0, 0),)), [PICTURE], "the pads .* do not fit"),
    (Select("y", ("x",), np.asarray([4])), [FEATURES], "are not units of"),
    (Add("y", ("x", "z")), [PICTURE, FEATURES], "do not fit together"),
    (Add("y", ("x",)), [PICTURE], "Add cannot take 1 inputs"),
    (Affine("y", ("x", "z")), [PICTURE, PICTURE], "Affine cannot take 2 inputs"),
    (Concat("y", ("x", "z"), 0), [PICTURE, FEATURES], "cannot be joined along axis 0"),
    (Concat("y", ("x", "z"), 3), [PICTURE, PICTURE], "there is no axis 3"),
    (Op("y", ("x",)), [PICTURE], "Op is not an operation of a program"),
]


@pytest.mark.parametrize("case", range(len(WRONG)))
def test_shapes_that_do_not_fit(case: int) -> None:
    op, inputs, message = WRONG[case]
    with pytest.raises(ShapeError, match=message):
        output_shape(op, inputs)


def test_shape_answers() -> None:
    assert str(PICTURE) == "[height 6, width 5, channel 2]"
    assert str(Shape((1, 2, 3, 4, 5))).startswith("[axis 0 1, ")
    assert (PICTURE.size, PICTURE.spatial, PICTURE.units) == (60, (6, 5), 2)
    assert (Shape(()).size, Shape(()).spatial, Shape(()).units) == (1, (), 1)
    assert window_positions((7,), (3,), (2,), ((1, 0),), (2,)) == (2,)


def test_weights_answers() -> None:
    weights = sampled(2, 3)
    assert weights.is_sampled
    assert not fixed(2).is_sampled
    assert weights.take((slice(None), [2, 0])).shape == (2, 2)
    assert weights.reshape(3, 2).shape == (3, 2)
    part = weights.take(1)
    assert part.ids is not None
    assert part.ids.tolist() == [3, 4, 5]
    assert weights.stream is not None
    assert weights.stream.key == "a/kernel#0"


@pytest.mark.parametrize("family", ["Normal", "Laplace", "LogNormal", ""])
def test_weights_without_some_are_zero_there(family: str) -> None:
    weights = Weights(np.ones((2, 3), np.float32)) if not family else replace(sampled(2, 3), family=family)
    pruned = np.asarray([[True, False, False], [False, True, True]])
    new = weights.without(pruned)
    assert np.array_equal(new.live, ~pruned)
    assert new.nonzeros == 3
    assert np.array_equal(new.mean().loc != 0.0, ~pruned)


def test_a_location_or_a_scale_alone_is_live() -> None:
    weights = sampled(3)
    loc, scale = np.asarray([0.0, 1.0, 0.0], np.float32), np.asarray([1.0, 0.0, 0.0], np.float32)
    assert replace(weights, loc=loc, scale=scale).live.tolist() == [True, True, False]
    assert replace(weights, loc=loc, scale=scale, family="LogNormal").live.all()


def test_weights_that_do_not_fit_together() -> None:
    weights = sampled(2, 3)
    with pytest.raises(ValueError, match="sampled weights need scale, family, stream and ids"):
        replace(weights, family="")
    with pytest.raises(ValueError, match=r"of the shape \(2, 3\) have parts of the shape \(3, 2\)"):
        replace(weights, ids=np.zeros((3, 2), np.int32))
