"""Function calls of a foreign graph become one flat graph."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bprune.case import load_case
from bprune.case.inline import inline_calls
from bprune.engines.graph import GraphEngine
from bprune.errors import DamagedFileError
from bprune.posterior import read_network


def _write(folder: Path) -> Path:
    """A TF1 program whose Bayesian layer is inside a function that calls another one."""
    import tensorflow as tf

    with tf.Graph().as_default():
        inputs = tf.compat.v1.placeholder(tf.float32, [None, 3], name="x")
        loc = tf.compat.v1.get_variable("den/kernel_posterior_loc", [3, 2], use_resource=True)
        raw = tf.compat.v1.get_variable("den/kernel_posterior_untransformed_scale", [3, 2], use_resource=True)

        def sample() -> Any:
            scale = np.float32(1e-6) + tf.nn.softplus(raw - 3.0)
            return loc + scale * tf.random.normal([3, 2])

        inner = tf.function(sample)
        first, second = tf.function(lambda values: tf.split(values @ inner(), 2, axis=1))(inputs)
        tf.concat([second, first], 1, name="logits")
        with tf.compat.v1.Session() as session:
            session.run(tf.compat.v1.global_variables_initializer())
            tf.compat.v1.train.Saver().save(session, str(folder / "model-1.ckpt"))
    (folder / "LayerNames.txt").write_text("den/kernel_posterior_loc:0\nden/kernel_posterior_untransformed_scale:0\n")
    (folder / "OpsNames.txt").write_text("# role input x\n# role logits logits\nx\nlogits\n")
    return folder


@pytest.fixture(scope="module")
def called(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _write(tmp_path_factory.mktemp("called"))


def test_a_layer_in_a_function_is_recognised(called: Path) -> None:
    case = load_case(called)
    assert not case.graph.graph_def.library.function
    assert {node.op for node in case.graph.nodes} & {"PartitionedCall", "StatefulPartitionedCall"} == set()
    network = read_network(case)
    assert [item.name for item in network.posteriors] == ["den/kernel"]
    assert network.unrecognised == ()


def test_the_flat_graph_gives_what_the_functions_gave(called: Path) -> None:
    case = load_case(called)
    network = read_network(case)
    engine = GraphEngine(case, network, network.masks, seed=1)
    inputs = np.array([[1.0, 2.0, 3.0], [-1.0, 0.5, 2.0]], np.float32)
    values = engine.draw(inputs, range(400)).values
    odds = np.log(values[..., 1] / values[..., 0]).mean(0)
    product = inputs @ network.posteriors[0].loc
    np.testing.assert_allclose(odds, product[:, 0] - product[:, 1], atol=0.1)  # the outputs were swapped
    assert np.ptp(values[:, 0, 0]) > 0


def _function(library: Any, name: str, nodes: list[tuple[str, str, list[str]]], returned: str) -> None:
    function = library.function.add()
    function.signature.name = name
    function.signature.input_arg.add(name="x", type=1)
    function.signature.output_arg.add(name="y", type=1)
    function.ret["y"] = returned
    for label, op, inputs in nodes:
        node = function.node_def.add(name=label, op=op, input=inputs)
        node.attr["T"].type = 1
        if op == "PartitionedCall":
            node.attr["Tout"].list.type.append(1)
            node.attr["f"].func.name = "inner"


def _graph(nodes: list[tuple[str, str, list[str]]], returned: str, arguments: tuple[str, ...] = ("in",)) -> Any:
    import tensorflow as tf

    graph_def = tf.compat.v1.GraphDef()
    graph_def.node.add(name="in", op="Placeholder")
    call = graph_def.node.add(name="call", op="PartitionedCall", input=arguments)
    call.attr["f"].func.name = "outer"
    graph_def.node.add(name="end", op="Identity", input=["call"])
    _function(graph_def.library, "outer", nodes, returned)
    _function(graph_def.library, "inner", [], "x")
    return graph_def


def test_calls_inside_of_calls() -> None:
    graph_def = _graph([("square", "Square", ["x"]), ("c", "PartitionedCall", ["square:y:0"])], "c:output:0")
    flat, place = inline_calls(graph_def)
    assert [(node.name, node.op, list(node.input)) for node in flat.node] == [
        ("in", "Placeholder", []),
        ("call/square", "Square", ["in:0"]),
        ("end", "Identity", ["call/square:0"]),
    ]
    assert place("call") == place("call/c:0") == "call/square:0"
    assert place("end") == "end:0"


@pytest.mark.parametrize(
    ("nodes", "returned", "arguments", "reason"),
    [
        ([("a", "Square", ["gone:y:0"])], "a:y:0", ("in",), "refers to 'gone:y:0', which is not in it"),
        ([("a", "Square", ["x"])], "a:z:0", ("in",), "refers to 'a:z:0', which is not in it"),
        ([("a", "Square", ["x"])], "a:y:99999999", ("in",), "refers to 'a:y:99999999'"),
        ([("a", "Square", ["x"])], "a:y:0", ("in", "in"), "a wrong number of inputs"),
        ([("c", "PartitionedCall", ["c:output:0"])], "c:output:0", ("in",), "waits for itself"),
        ([("c", "outer", ["x"]), ("d", "outer", ["x"])], "c:y:0", ("in",), "call each other without end"),
    ],
)
def test_damaged_functions(
    nodes: list[tuple[str, str, list[str]]], returned: str, arguments: tuple[str, ...], reason: str
) -> None:
    with pytest.raises(DamagedFileError, match=reason):
        inline_calls(_graph(nodes, returned, arguments))


def test_a_missing_function() -> None:
    graph_def = _graph([], "x")
    del graph_def.library.function[:]
    with pytest.raises(DamagedFileError, match="calls 'outer', which is not in the file"):
        inline_calls(graph_def)
