"""The cut between input and output: values for further placeholders, inputs of every kind, and what is tidied."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bprune.arrays import AnyArray
from bprune.case import load_case
from bprune.engines.graph import GraphEngine
from bprune.errors import AmbiguousCaseError, DamagedFileError, InputError, UnsupportedError, UsageError
from bprune.posterior import read_network
from tests.case import cases
from tests.case.cases import CLASSES, FEATURES, THIRD_PARTY, Made, bayesian_dense, graph_case

pytestmark = [pytest.mark.filterwarnings(line) for line in THIRD_PARTY]

Built = tuple[Any, Any]


def draws(made: Made, **options: Any) -> AnyArray:
    case = load_case(made.path, **options)
    network = read_network(case)
    values: AnyArray = GraphEngine(case, network, network.masks, 0).draw(made.inputs, range(2)).values
    return np.asarray(values[0])


def placeholder(name: str, dtype: str = "float32", shape: list[int | None] | None = None) -> Any:
    import tensorflow as tf

    return tf.compat.v1.placeholder(dtype, [None, FEATURES] if shape is None else shape, name=name)


# Values for further placeholders


@pytest.mark.parametrize("default", [True, False], ids=["default", "placeholder"])
@pytest.mark.parametrize("dtype", ["bool", "int32", "float64", "bfloat16"])
def test_values_of_every_type(tmp_path: Path, dtype: str, default: bool) -> None:
    def build() -> Built:
        import tensorflow as tf

        source = placeholder("x")
        zero = tf.zeros([], dtype)
        switch = (
            tf.compat.v1.placeholder_with_default(zero, [], "switch") if default else placeholder("switch", dtype, [])
        )
        return source, tf.nn.softmax(bayesian_dense(source, CLASSES, "den_1") * tf.cast(switch, tf.float32))

    made = graph_case(tmp_path, build, feeds={"switch:0": True if dtype == "bool" else 1})
    assert np.ptp(made.outputs) > 0.1
    np.testing.assert_allclose(draws(made, feeds={"switch": 1.0}), made.outputs, atol=1e-5)
    np.testing.assert_allclose(draws(made, feeds={"switch:0": 0.0}), 1.0 / CLASSES, atol=1e-5)


def test_a_default_stays_without_a_value(tmp_path: Path) -> None:
    def build() -> Built:
        import tensorflow as tf

        source = placeholder("x")
        keep = tf.compat.v1.placeholder_with_default(1.0, [], "keep_prob")
        dropped = tf.nn.dropout(source, rate=1.0 - keep)
        return source, tf.nn.softmax(bayesian_dense(dropped, CLASSES, "den_1"))

    made = graph_case(tmp_path, build)
    np.testing.assert_allclose(draws(made), made.outputs, atol=1e-5)
    assert np.abs(draws(made, feeds={"keep_prob": 0.3}) - made.outputs).max() > 1e-2


def test_a_text_takes_no_number(tmp_path: Path) -> None:
    def build() -> Built:
        import tensorflow as tf

        source, mode = placeholder("x"), placeholder("mode", "string", [])
        factor = tf.cast(tf.equal(mode, "test"), tf.float32)
        return source, tf.nn.softmax(bayesian_dense(source, CLASSES, "den_1") * factor)

    made = graph_case(tmp_path, build, feeds={"mode:0": "test"})
    with pytest.raises(InputError, match=r"'mode' is of the type string, which no number can stand for"):
        load_case(made.path, feeds={"mode": 1.0})
    with pytest.raises(InputError, match=r"the input 'mode:0' is of the type string; numbers are needed\n.*--input-op"):
        load_case(made.path, input_op="mode", feeds={"x": 1.0})


def test_only_placeholders_take_values(small: Path) -> None:
    with pytest.raises(InputError, match=r"no placeholder 'den_1/logits' between .*\nPlaceholders there: none\."):
        load_case(small, output_op="probabilities", feeds={"den_1/logits": 1.0})


def test_a_task_that_does_not_exist(small: Path) -> None:
    with pytest.raises(UsageError, match=r"the task 'clustering' is not one of classification, regression"):
        load_case(small, task="clustering")


# Inputs that are no placeholders


def pipeline(dataset: Callable[[], Any], use: Callable[[Any], Any]) -> Callable[[], Built]:
    def build() -> Built:
        import tensorflow as tf

        found = tf.compat.v1.data.make_one_shot_iterator(dataset()).get_next()
        source = found[0] if isinstance(found, tuple) else found
        return source, tf.nn.softmax(bayesian_dense(use(found), CLASSES, "den_1"))

    return build


def inputs_twice() -> Any:
    import tensorflow as tf

    return tf.data.Dataset.from_tensors((cases.inputs(), cases.inputs()[:, :1]))


def test_an_iterator_and_a_placeholder(tmp_path: Path) -> None:
    """The placeholder, although the only one, is not taken for the input."""

    def dataset() -> Any:
        import tensorflow as tf

        return tf.data.Dataset.from_tensors(cases.inputs())

    build = pipeline(dataset, lambda source: source * placeholder("keep_prob", shape=[]))
    made = graph_case(tmp_path, build, feeds={"keep_prob:0": 1.0})
    with pytest.raises(AmbiguousCaseError, match=r"could be the input: keep_prob:0, IteratorGetNext:0\n.*--feed"):
        load_case(made.path)
    np.testing.assert_allclose(draws(made, feeds={"keep_prob": 1.0}), made.outputs, atol=1e-5)


def test_an_iterator_of_which_two_tensors_are_needed(tmp_path: Path) -> None:
    made = graph_case(tmp_path, pipeline(inputs_twice, lambda found: found[0] * found[1]))
    with pytest.raises(InputError, match=r"the network needs IteratorGetNext:1 beside its input IteratorGetNext:0\n"):
        load_case(made.path, input_op="IteratorGetNext:0")


def test_the_second_tensor_of_an_iterator(tmp_path: Path) -> None:
    def use(found: Any) -> Any:
        return found[1]

    made = graph_case(tmp_path, pipeline(inputs_twice, use))
    case = load_case(made.path)
    assert (case.roles.input, case.graph.input, case.graph.input_shape) == (
        "IteratorGetNext:1",
        "bprune_input:0",
        (None, 1),
    )
    np.testing.assert_allclose(draws(Made(made.path, made.inputs[:, :1], made.outputs)), made.outputs, atol=1e-5)


def test_an_iterator_that_is_chosen_by_a_handle(tmp_path: Path) -> None:
    """The placeholder of the handle, a text, is not the input."""

    def build() -> Built:
        import tensorflow as tf

        data, dataset = tf.compat.v1.data, tf.data.Dataset.from_tensors(cases.inputs())
        kinds = data.get_output_types(dataset), data.get_output_shapes(dataset)
        source = data.Iterator.from_string_handle(placeholder("handle", "string", []), *kinds).get_next()
        tf.nn.softmax(bayesian_dense(source, CLASSES, "den_1"))
        return source, tf.zeros([])

    made = graph_case(tmp_path, build)
    assert load_case(made.path).roles.input == "IteratorGetNext:0"
    assert np.isfinite(draws(made)).all()


def test_an_output_that_an_iterator_does_not_have(tmp_path: Path) -> None:
    made = graph_case(tmp_path, pipeline(inputs_twice, lambda found: found[0]))

    def rewire(graph_def: Any) -> None:
        cases.node(graph_def, "den_1/logits").input[0] = "IteratorGetNext:7"

    with pytest.raises(InputError, match=r"'IteratorGetNext' has no output 7\nChoose another --input-op"):
        load_case(cases.alter(made.path, rewire))


# Outputs that are given


@pytest.mark.parametrize("kind", ["softmax", "sigmoid"])
def test_probabilities_in_a_list(tmp_path: Path, kind: str) -> None:
    """Of an IdentityN the tensor at the same place counts, not the first one."""

    def build() -> Built:
        import tensorflow as tf

        source = placeholder("x")
        output = bayesian_dense(source, CLASSES, "den_1")
        values = tf.nn.softmax(output) if kind == "softmax" else tf.sigmoid(output)
        tf.identity(tf.identity_n([tf.nn.softmax(source), values])[1], name="out")
        return source, output

    case = load_case(graph_case(tmp_path, build).path, output_op="out", task="classification")
    assert case.roles.output == "den_1/logits:0"


# What is copied


def called(body: Callable[[Any], None], *, calls: str = "body") -> Callable[[Any], None]:
    """Put a call of a library function with a body of its own before the softmax."""

    def change(graph_def: Any) -> None:
        import tensorflow as tf

        kind = tf.float32.as_datatype_enum
        function = graph_def.library.function.add()
        function.signature.name = "body"
        function.signature.input_arg.add(name="value", type=kind)
        function.signature.output_arg.add(name="result", type=kind)
        same = function.node_def.add(name="same", op="Identity", input=["value"], device="/job:evil/task:0")
        same.attr["T"].type = kind
        same.attr["_XlaMustCompile"].b = True
        function.ret["result"] = "same:output:0"
        body(function)
        node = graph_def.node.add(name="call", op="PartitionedCall", input=["den_1/logits"], device="/gpu:7")
        for name in ("Tin", "Tout"):
            node.attr[name].list.type.append(kind)
        node.attr["f"].func.name = calls
        node.attr["config_proto"].s = b"\xff\xfe"
        node.attr["executor_type"].s = b"SINGLE_THREADED_EXECUTOR"
        cases.node(graph_def, "probabilities").input[0] = "call"

    return change


def test_devices_and_settings_are_dropped(small: Path) -> None:
    cases.alter(small, called(lambda function: None))
    graph_def = load_case(small).graph.graph_def
    inner = cases.node(graph_def, "call/same")
    assert (inner.device, sorted(inner.attr)) == ("", ["T"])
    assert not graph_def.library.function
    assert np.isfinite(draws(Made(small, cases.inputs(), cases.inputs()))).all()


def test_constants_in_functions_are_checked(small: Path) -> None:
    def bomb(function: Any) -> None:
        import tensorflow as tf

        constant = function.node_def.add(name="bomb", op="Const")
        constant.attr["dtype"].type = tf.float32.as_datatype_enum
        tensor = constant.attr["value"].tensor
        tensor.dtype = tf.float32.as_datatype_enum
        tensor.float_val.append(1.0)
        tensor.tensor_shape.dim.add(size=2**40)

    cases.alter(small, called(bomb))
    with pytest.raises(DamagedFileError, match=r"the constant 'bomb' of the graph claims the shape \[1099511627776\]"):
        load_case(small)


def test_a_partitioned_variable(tmp_path: Path) -> None:
    def build() -> Built:
        import tensorflow as tf

        v1, source = tf.compat.v1, placeholder("x")
        with v1.variable_scope("det", partitioner=v1.fixed_size_partitioner(2)):
            weights = v1.get_variable("kernel", [FEATURES, CLASSES])
        return source, tf.nn.softmax(tf.matmul(source, tf.convert_to_tensor(weights)))

    made = graph_case(tmp_path, build)
    with pytest.raises(UnsupportedError, match=r"partitioned"):
        load_case(made.path)
