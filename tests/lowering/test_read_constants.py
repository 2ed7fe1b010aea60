"""Constant arithmetic in NumPy gives what TensorFlow gives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from bprune.arrays import AnyArray
from bprune.lowering.read.constants import UNARY, evaluate, is_constant_operation
from bprune.lowering.read.sizes import Size

MATRIX = np.linspace(-1.7, 2.3, 12, dtype=np.float32).reshape(3, 4)
POSITIVE = np.linspace(0.1, 0.9, 12, dtype=np.float32).reshape(3, 4)
WHOLE = np.arange(12, dtype=np.int32).reshape(3, 4) - 5

Build = Callable[[Any], Any]

OPERATIONS: dict[str, Build] = {
    "add_n": lambda tf: tf.raw_ops.AddN(inputs=[MATRIX, POSITIVE, MATRIX]),
    "all": lambda tf: tf.reduce_all(tf.constant(WHOLE) > -9, axis=[0]),
    "any": lambda tf: tf.reduce_any(tf.constant(WHOLE) > 5, axis=1, keepdims=True),
    "argmax": lambda tf: tf.argmax(tf.constant(MATRIX), axis=-1),
    "bias": lambda tf: tf.nn.bias_add(tf.constant(MATRIX), tf.constant(MATRIX[0])),
    "broadcast": lambda tf: tf.broadcast_to(tf.constant(MATRIX[:1]), [2, 3, 4]),
    "broadcast arguments": lambda tf: tf.raw_ops.BroadcastArgs(s0=tf.constant([3, 1]), s1=tf.constant([2, 1, 5])),
    "cast": lambda tf: tf.cast(tf.constant(WHOLE), tf.float32) / 3.0,
    "clip": lambda tf: tf.raw_ops.ClipByValue(t=MATRIX, clip_value_min=-0.5, clip_value_max=0.5),
    "comparisons": lambda tf: tf.cast(
        (tf.constant(MATRIX) > 0.0) & (tf.constant(MATRIX) <= 2.0) | tf.equal(WHOLE, -5), tf.int32
    ),
    "concat": lambda tf: tf.concat([tf.constant(MATRIX), POSITIVE, MATRIX[:, :1]], axis=-1),
    "cumsum": lambda tf: tf.cumsum(tf.constant(MATRIX), axis=1),
    "divisions": lambda tf: tf.constant(WHOLE) // 3 + tf.math.floormod(tf.constant(WHOLE), 4),
    "divide without nan": lambda tf: tf.math.divide_no_nan(tf.constant(MATRIX), [0.0, 1.0, 2.0, 0.0]),
    "expand": lambda tf: tf.expand_dims(tf.constant(MATRIX), -1),
    "fill": lambda tf: tf.fill([2, 3], tf.constant(0.5)),
    "gather": lambda tf: tf.gather(tf.constant(MATRIX), [3, 0, 0], axis=1),
    "inverse order": lambda tf: tf.math.invert_permutation([2, 0, 1]),
    "matrix product": lambda tf: tf.matmul(tf.constant(MATRIX), POSITIVE, transpose_b=True),
    "matrix products": lambda tf: tf.matmul(tf.constant(np.stack([MATRIX] * 2)), np.stack([POSITIVE.T] * 2)),
    "mean": lambda tf: tf.reduce_mean(tf.constant(MATRIX), axis=[0, 1], keepdims=True),
    "one hot": lambda tf: tf.one_hot([0, 2, 5], 4),
    "ones": lambda tf: tf.ones_like(tf.constant(MATRIX)) + tf.zeros_like(tf.constant(MATRIX)),
    "pack": lambda tf: tf.stack([tf.constant(MATRIX), POSITIVE], axis=1),
    "pad": lambda tf: tf.pad(tf.constant(MATRIX), [[1, 0], [0, 2]], constant_values=3.0),
    "powers": lambda tf: tf.pow(tf.constant(POSITIVE), 1.5) + tf.pow(tf.constant(MATRIX), 2.0),
    "prod": lambda tf: tf.reduce_prod(tf.constant(MATRIX), axis=0),
    "range": lambda tf: tf.range(tf.constant(2.0), 5.0, 0.75),
    "reverse": lambda tf: tf.reverse(tf.constant(MATRIX), [1]),
    "select": lambda tf: tf.where(tf.constant(WHOLE) > 0, MATRIX, POSITIVE[:1]),
    "select rows": lambda tf: tf.raw_ops.Select(condition=[True, False, True], x=MATRIX, y=POSITIVE),
    "shape": lambda tf: tf.shape(tf.constant(MATRIX)) + tf.rank(tf.constant(MATRIX)) + tf.size(tf.constant(MATRIX)),
    "slice": lambda tf: tf.slice(tf.constant(MATRIX), [1, 0], [-1, 3]),
    "split": lambda tf: tf.split(tf.constant(MATRIX), 2, axis=1)[1],
    "split by sizes": lambda tf: tf.split(tf.constant(MATRIX), [1, -1], axis=1)[1],
    "squared difference": lambda tf: tf.math.squared_difference(tf.constant(MATRIX), POSITIVE),
    "squeeze": lambda tf: tf.squeeze(tf.constant(MATRIX[None, :, None]), [0, -2]),
    "squeeze all": lambda tf: tf.squeeze(tf.constant(MATRIX[None, :1])),
    "strided slice": lambda tf: tf.constant(np.stack([MATRIX] * 2))[..., 1:, ::-2],
    "strided slice that shrinks": lambda tf: tf.constant(MATRIX)[1, tf.newaxis, 1:3],
    "sum": lambda tf: tf.reduce_sum(tf.constant(MATRIX), axis=-1),
    "tile": lambda tf: tf.tile(tf.constant(MATRIX), [2, 1]),
    "transpose": lambda tf: tf.transpose(tf.constant(np.stack([MATRIX] * 2)), [2, 0, 1]),
    "unstack": lambda tf: tf.unstack(tf.constant(MATRIX), axis=1)[2],
    "extremes": lambda tf: tf.maximum(tf.constant(MATRIX), 0.3) - tf.minimum(tf.constant(WHOLE[0]), 2).shape[0],
}


def both(build: Build) -> tuple[AnyArray, AnyArray, set[str]]:
    """What TensorFlow and NumPy make of a graph of constants, and its operations."""
    import tensorflow as tf

    with tf.Graph().as_default() as graph, tf.compat.v1.Session() as session:
        output = build(tf)
        expected = session.run(output)
        found: dict[str, list[AnyArray]] = {}
        for node in graph.as_graph_def().node:
            operands = [found[name][int(index or 0)] for name, _, index in (i.partition(":") for i in node.input)]
            constant = tf.make_ndarray(node.attr["value"].tensor) if node.op == "Const" else None
            found[node.name] = evaluate(node, operands) if constant is None else [np.asarray(constant)]
    name, _, index = output.name.partition(":")
    operations = {node.op for node in graph.as_graph_def().node} - {"Const"}
    return np.asarray(expected), found[name][int(index)], operations


@pytest.mark.parametrize("name", OPERATIONS)
def test_operation(name: str) -> None:
    expected, found, operations = both(OPERATIONS[name])
    assert found.shape == expected.shape
    assert found.dtype.kind == expected.dtype.kind
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-7)
    assert operations
    assert all(is_constant_operation(item) for item in operations)


@pytest.mark.parametrize("name", sorted(set(UNARY) - {"LogicalNot", "IsNan", "IsInf", "IsFinite"}))
def test_function(name: str) -> None:
    def build(tf: Any) -> Any:
        operand = POSITIVE if name in {"Log", "Sqrt", "Rsqrt", "Lgamma", "Ndtri", "Log1p"} else MATRIX
        function = getattr(tf.raw_ops, name)
        argument = {"Elu": "features", "Selu": "features", "Softplus": "features", "Softsign": "features"}
        argument |= {"Relu": "features", "Relu6": "features"}
        return function(**{argument.get(name, "x"): tf.constant(operand)})

    expected, found, _ = both(build)
    assert found.dtype == expected.dtype
    np.testing.assert_allclose(found, expected, rtol=3e-6, atol=1e-6)


def _node(name: str, build: Build) -> Any:
    import tensorflow as tf

    with tf.Graph().as_default() as graph:
        build(tf)
    return next(node for node in graph.as_graph_def().node if node.op == name)


@pytest.mark.parametrize(
    ("name", "build", "operands"),
    [
        ("Fill", lambda tf: tf.fill(tf.constant([2]), 0.0), [np.asarray([1 << 20, 1 << 20]), np.zeros(())]),
        ("Fill", lambda tf: tf.fill(tf.constant([2]), 0.0), [np.asarray([-1, 2]), np.zeros(())]),
        (
            "BroadcastTo",
            lambda tf: tf.broadcast_to(tf.constant([0.0]), tf.constant([4])),
            [np.zeros(1), np.asarray([1 << 31, 1 << 31])],
        ),
        ("Tile", lambda tf: tf.tile(tf.constant([0.0]), tf.constant([4])), [np.zeros(4), np.asarray([1 << 40])]),
        ("Range", lambda tf: tf.range(tf.constant(3.0)), [np.float64(0.0), np.float64(1e18), np.float64(1.0)]),
        (
            "OneHot",
            lambda tf: tf.one_hot([1], 3),
            [np.zeros(1 << 16, int), np.asarray(1 << 30), np.ones(()), np.zeros(())],
        ),
        ("Mul", lambda tf: tf.constant(1.0) * 2.0, [np.zeros((1 << 16, 1)), np.zeros((1, 1 << 16))]),
        ("MatMul", lambda tf: tf.matmul(MATRIX, MATRIX.T), [np.zeros((1 << 16, 1)), np.zeros((1, 1 << 16))]),
        ("Pad", lambda tf: tf.pad(MATRIX, [[1, 1], [1, 1]]), [MATRIX, np.asarray([[0, 1 << 40], [0, 0]])]),
    ],
)
def test_absurd_sizes_are_refused_before_memory_is_asked_for(name: str, build: Build, operands: list[AnyArray]) -> None:
    node = _node(name, build)
    with pytest.raises(ValueError, match=r"too large"):
        evaluate(node, [np.asarray(item) for item in operands])


def test_sizes_are_followed() -> None:
    """What TFP's layers compute of shapes: `[N, 3] -> [3, N, 4] -> 12 N`."""
    import tensorflow as tf

    shape = np.asarray([Size(1), 3], object)
    with tf.Graph().as_default() as graph:
        given = tf.constant([5, 3])
        joined = tf.concat([given[1:], tf.expand_dims(given[0], 0), [4]], 0)
        tf.identity(tf.reduce_prod(tf.gather(joined, [0, 1, 2])) // 1, name="product")
    found: dict[str, list[AnyArray]] = {}
    for position, node in enumerate(graph.as_graph_def().node):
        operands = [found[item.partition(":")[0]][0] for item in node.input]
        if node.op == "Const":
            found[node.name] = [shape if position == 0 else np.asarray(tf.make_ndarray(node.attr["value"].tensor))]
        else:
            found[node.name] = operands[:1] if node.op == "Identity" else evaluate(node, operands)
    assert found["product"][0].reshape(()).item() == Size(12)


def test_comparisons_of_sizes_have_an_answer_only_where_they_are_the_same() -> None:
    node = _node("Equal", lambda tf: tf.equal([1, 2], [3, 4]))
    shape = np.asarray([Size(1), 3], object)
    assert evaluate(node, [shape, shape])[0].tolist() == [True, True]
    assert evaluate(node, [shape, np.asarray([Size(1), 4], object)])[0].tolist() == [True, False]
    with pytest.raises(ValueError, match=r"compares sizes that depend on the number of examples"):
        evaluate(node, [shape, np.asarray([4, 3])])
