"""The index over a graph's nodes: look-ups, and what a sound graph is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bprune.case.nodes import Nodes, check_constant, dtype_name, is_control, node_of, tensor_name
from bprune.errors import DamagedFileError, UnsupportedError


def graph(*lines: str) -> Nodes:
    """Nodes from lines such as `name = Op(input, ^control)`."""
    import tensorflow as tf

    graph_def = tf.compat.v1.GraphDef()
    for line in lines:
        name, _, call = line.partition(" = ")
        operation, _, inputs = call.removesuffix(")").partition("(")
        node = graph_def.node.add(name=name, op=operation, input=inputs.split(", ") if inputs else [])
        if operation == "Enter":
            node.attr["frame_name"].s = name.rstrip("0123456789").encode()
            node.attr["is_constant"].b = name.startswith("constant")
    return Nodes(graph_def.node)


def constant(value: Any) -> Any:
    import tensorflow as tf

    node = tf.compat.v1.NodeDef(name="c", op="Const")
    proto = tf.make_tensor_proto(value)
    node.attr["dtype"].type = proto.dtype
    node.attr["value"].tensor.CopyFrom(proto)
    return node


def test_names() -> None:
    assert [node_of(item) for item in ("a", "a:1", "^a")] == ["a", "a", "a"]
    assert [tensor_name(item) for item in ("a", "a:1")] == ["a:0", "a:1"]
    assert [is_control(item) for item in ("a", "^a")] == [False, True]


def test_look_ups() -> None:
    nodes = graph("a = Const", "b = Relu(a)", "c = Add(b, a:0, ^d)", "d = NoOp(^a)")
    assert [node.name for node in nodes] == ["a", "b", "c", "d"]
    assert "a" in nodes
    assert "e" not in nodes
    assert nodes.inputs("c") == ["b", "a"]
    assert nodes.consumers == {"a": ["b", "c"], "b": ["c"], "c": [], "d": []}
    assert nodes.ancestors(["c"]) == {"a", "b", "c"}
    assert nodes.ancestors(["c"], control=True) == {"a", "b", "c", "d"}
    assert nodes.ancestors(["c"], stop=["b"]) == {"a", "b", "c"}
    assert nodes.ancestors(["c"], stop=["c"]) == {"c"}


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["a = Const", "a = Relu"], r"two operations named 'a'"),
        (["a = Relu(b)"], r"'a' has an input 'b' that is not in the graph"),
        (["a = Relu(^b)"], r"'a' has an input '\^b' that is not in the graph"),
        (["a = Relu(a)"], r"'a' waits for itself: the graph has a circle"),
        (["a = Relu(b)", "b = Relu(a)"], r"'a' waits for itself"),
        (["a = Const(^b)", "b = Relu(a)"], r"'a' waits for itself"),
    ],
)
def test_graphs_that_are_none(lines: list[str], message: str) -> None:
    with pytest.raises(DamagedFileError, match=message):
        graph(*lines)


LOOP = (
    "x = Const",
    "w = Const",
    "constant0 = Const(^merge)",
    "enter0 = Enter(x)",
    "merge = Merge(enter0, next)",
    "cond = LoopCond(merge)",
    "switch = Switch(merge, cond)",
    "body = Add(switch:1, constant0)",
    "next = NextIteration(body)",
    "exit = Exit(switch)",
    "y = Relu(exit)",
)


def loop(*changes: str) -> Nodes:
    """A sound loop, with some lines in place of those of the same names."""
    return graph(*{line.split(" = ")[0]: line for line in (*LOOP, *changes)}.values())


def test_a_sound_loop() -> None:
    nodes = loop()
    nodes.check_loops()
    assert nodes.ancestors(["y"]) == {line.split(" = ")[0] for line in LOOP} - {"w"}


def test_a_loop_in_a_loop() -> None:
    graph(
        "x = Const",
        "outer0 = Enter(x)",
        "merge_1 = Merge(outer0, next_1)",
        "cond_1 = LoopCond(merge_1)",
        "switch_1 = Switch(merge_1, cond_1)",
        "inner0 = Enter(switch_1:1)",
        "merge_2 = Merge(inner0, next_2)",
        "cond_2 = LoopCond(merge_2)",
        "switch_2 = Switch(merge_2, cond_2)",
        "next_2 = NextIteration(switch_2:1)",
        "exit_2 = Exit(switch_2)",
        "next_1 = NextIteration(exit_2)",
        "exit_1 = Exit(switch_1)",
        "y = Add(exit_1, x)",
    ).check_loops()


@pytest.mark.parametrize(
    "change",
    [
        "constant0 = Relu(w)",  # from outside, not through Enter
        "y = Add(switch, x)",  # what never left
        "exit = Exit(x)",
        "cond = LoopCond(w)",
    ],
)
def test_a_loop_that_leaks(change: str) -> None:
    nodes = loop("y = Add(exit, x)", change)
    with pytest.raises(DamagedFileError, match=r"reaches into a loop, or out of one"):
        nodes.check_loops()


@pytest.mark.parametrize(
    "change",
    [
        "body = Add(switch:1, enter1)",  # a value that changes, but does not come in at a Merge
        "body = Add(switch:1, next)",
    ],
)
def test_a_loop_that_would_wait_for_ever(change: str) -> None:
    nodes = loop("enter1 = Enter(w)", change)
    with pytest.raises(DamagedFileError, match=r"'body' is wrongly linked to '(enter1|next)'"):
        nodes.check_loops()


def test_a_constant_at_a_merge() -> None:
    nodes = loop("constant1 = Enter(x)", "merge = Merge(constant1, next)")
    with pytest.raises(DamagedFileError, match=r"reaches into a loop|'merge' is wrongly linked to 'constant1'"):
        nodes.check_loops()


# Constants


@pytest.mark.parametrize(
    "value", [1.5, np.float64(2.0), np.arange(6).reshape(2, 3), True, "text", np.zeros((0, 3)), np.float16(1.0)]
)
def test_constants(value: Any) -> None:
    node = constant(value)
    check_constant(node)
    found = Nodes([node]).constant("c")
    assert found is not None
    if not isinstance(value, str):
        np.testing.assert_array_equal(found, value)


@pytest.mark.parametrize(
    ("value", "number"),
    [(1.5, 1.5), (np.int64(3), 3.0), (np.asarray([[2.0]]), 2.0), (np.asarray([1.0, 2.0]), None), ("text", None)],
)
def test_scalars(value: Any, number: float | None) -> None:
    assert Nodes([constant(value)]).scalar("c") == number


def test_scalars_of_other_operations_and_types() -> None:
    import tensorflow as tf

    assert graph("a = Relu").scalar("a") is None
    assert Nodes([constant(tf.constant(1.5, tf.bfloat16).numpy())]).scalar("c") == 1.5
    assert Nodes([constant(True)]).scalar("c") is None


def test_constants_that_tensorflow_cannot_read() -> None:
    node = constant(1.5)
    node.attr["value"].tensor.tensor_shape.dim.add(size=3)
    del node.attr["value"].tensor.float_val[:]
    node.attr["value"].tensor.tensor_content = b"\0" * 12
    assert np.all(Nodes([node]).constant("c") == 0.0)
    node.attr["value"].tensor.tensor_content = b"\0" * 11
    with pytest.raises(DamagedFileError, match=r"constant 'c' of the graph has not the values of its shape \[3\]"):
        Nodes([node]).constant("c")


@pytest.mark.parametrize("number", [13, 20, 21, 33])
def test_constants_of_other_types(number: int) -> None:
    node = constant(1.5)
    node.attr["dtype"].type = node.attr["value"].tensor.dtype = number
    with pytest.raises(UnsupportedError, match=r"the constant 'c' of the graph is of the type \w+"):
        check_constant(node)


def test_type_names() -> None:
    assert [dtype_name(number) for number in (1, 9, 14, 101)] == ["float32", "int64", "bfloat16", "float32"]
    for number in (0, 99, -1):
        with pytest.raises(DamagedFileError, match=rf"the graph names an unknown dtype {number}"):
            dtype_name(number)
