"""Input, label and output are what the annotations say, else what the graph shows; a choice is left to the user."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bprune.case import Task, load_case
from bprune.case.names import OpsNames
from bprune.case.output import Output
from bprune.case.roles import Roles, find_roles, sampling_operations
from bprune.errors import AmbiguousCaseError, InputError
from tests.case import cases
from tests.case.cases import CLASSES, FEATURES, THIRD_PARTY, bayesian_dense, graph_case
from tests.case.role_graphs import (
    PLAIN,
    annotated,
    check_draws,
    dense,
    nodes_of,
    of_log_prob,
    of_softmax,
    of_sparse_cross_entropy,
    placeholder,
    two_heads,
)

pytestmark = [pytest.mark.filterwarnings(line) for line in THIRD_PARTY]


# Annotations


def test_annotations_win() -> None:
    """Each of them differs from what the graph would give."""

    def build() -> None:
        import tensorflow as tf

        two_heads()
        placeholder("other_y", [None], tf.int32)
        tf.identity(tf.random.normal([]), name="noise")
        tf.identity(0.5, name="accuracy")

    nodes = nodes_of(build)
    names = annotated(
        input="first/weights", label="other_y", logits="first/logits:0", log_prob="second/log_prob",
        accuracy="first/probabilities", sample=("noise", "random_normal/RandomStandardNormal"),
    )  # fmt: skip
    roles = find_roles(nodes, names)
    assert (roles.input, roles.output, roles.kind) == ("first/weights:0", "first/logits:0", Output.LOGITS)
    assert (roles.label, roles.log_prob, roles.accuracy) == ("other_y:0", "second/log_prob:0", "first/probabilities:0")
    assert roles.samples == ("noise", "random_normal/RandomStandardNormal")
    assert roles.task is Task.CLASSIFICATION
    assert all("OpsNames.txt" in sentence for sentence in roles.found)


def test_an_annotation_settles_two_heads() -> None:
    nodes = nodes_of(two_heads)
    for head in ("first", "second"):
        assert find_roles(nodes, annotated(logits=f"{head}/logits")).output == f"{head}/logits:0"


def test_annotated_probabilities_stay_probabilities() -> None:
    roles = find_roles(nodes_of(two_heads), annotated(probabilities="first/probabilities"))
    assert (roles.output, roles.kind) == ("first/probabilities:0", Output.PROBABILITIES)
    assert roles.task is Task.CLASSIFICATION


def test_an_annotated_regression() -> None:
    nodes = nodes_of(lambda: (dense(placeholder(), "mean"), dense(placeholder("unused"), "scale")))
    names = annotated(input="x", prediction="mean/logits", prediction_scale="scale/logits")
    roles = find_roles(nodes, names)
    assert (roles.outputs, roles.kind, roles.task) == (
        ("mean/logits:0", "scale/logits:0"), Output.PREDICTION, Task.REGRESSION
    )  # fmt: skip
    assert find_roles(nodes, annotated(input="x", prediction="mean/logits")).outputs == ("mean/logits:0",)
    logits = find_roles(nodes, annotated(input="x", logits="mean/logits", prediction_scale="scale/logits"))
    assert logits.scale is None


def test_a_given_output_is_what_the_annotations_say() -> None:
    """Probabilities that are taken for logits would go through a second softmax."""
    import tensorflow as tf

    def build() -> None:
        tf.exp(tf.nn.log_softmax(dense(placeholder())), name="probabilities")
        dense(placeholder("z"), "scale")

    nodes = nodes_of(build)
    names = annotated(input="x", probabilities="probabilities:0", prediction_scale="scale/logits")
    for task in (None, Task.CLASSIFICATION):
        assert find_roles(nodes, names, output_op="probabilities", task=task).kind is Output.PROBABILITIES
    assert find_roles(nodes, names, output_op="probabilities", task=Task.REGRESSION).outputs == ("probabilities:0",)
    names = annotated(input="x", prediction="den_1/logits", prediction_scale="scale/logits")
    roles = find_roles(nodes, names, output_op="den_1/logits")
    assert (roles.kind, roles.scale) == (Output.PREDICTION, "scale/logits:0")
    other = find_roles(nodes, names, output_op="probabilities", task=Task.REGRESSION)
    assert other.outputs == ("probabilities:0",)


def test_roles_are_annotated_as_they_were_found() -> None:
    nodes = nodes_of(two_heads)
    found = find_roles(nodes, annotated(logits="second/logits"))
    again = find_roles(nodes, OpsNames((), found.annotations(), True))
    assert again.annotations() == found.annotations()
    assert (again.input, again.output, again.label) == ("x:0", "second/logits:0", "y:0")


@pytest.mark.parametrize("task", list(Task))
def test_a_task_that_contradicts_the_annotations(task: Task) -> None:
    nodes = nodes_of(lambda: dense(placeholder()))
    kind = "logits" if task is Task.REGRESSION else "prediction"
    with pytest.raises(InputError, match=rf"holds {kind}, which is not {task.value}\nLeave --task away, or"):
        find_roles(nodes, annotated(**{kind: "den_1/logits"}), task=task)
    agreed = next(item for item in Task if item is not task)
    assert find_roles(nodes, annotated(**{kind: "den_1/logits"}), task=agreed).task is agreed


def test_a_case_of_the_training_package() -> None:
    case = load_case(cases.keras_case())
    assert case.ops_names.annotated
    assert case.roles.annotations() == case.ops_names.roles
    with pytest.raises(InputError, match="OpsNames.txt says that the output holds logits, which is not regression"):
        load_case(cases.keras_case(), task="regression")


# Inputs


def noisy_dropout() -> tuple[Any, Any]:
    """How networks with dropout were written for TensorFlow 1."""
    import tensorflow as tf

    source = placeholder()
    keep_prob = placeholder("keep_prob", [])
    logits = bayesian_dense(tf.nn.dropout(source, rate=1.0 - keep_prob), CLASSES, "den_1")
    of_sparse_cross_entropy(logits)
    return source, logits


def test_a_further_placeholder(tmp_path: Path) -> None:
    made = graph_case(tmp_path, noisy_dropout, feeds={"keep_prob:0": 1.0})
    with pytest.raises(AmbiguousCaseError, match=r"could be the input: x:0, keep_prob:0\n.*--feed NAME=VALUE"):
        load_case(made.path)
    with pytest.raises(InputError, match=r"further inputs without a value: keep_prob\n.*--feed keep_prob=1"):
        load_case(made.path, input_op="x")
    with pytest.raises(InputError, match=r"no placeholder 'keep_probs' .*\nDid you mean keep_prob\?"):
        load_case(made.path, input_op="x", feeds={"keep_probs": 1.0})
    for name in ("keep_prob", "keep_prob:0"):
        case = load_case(made.path, feeds={name: 1.0})
        assert (case.roles.input, case.roles.label) == ("x:0", "y:0")
    check_draws(made, case)


def iterated(make: str) -> tuple[Any, Any]:
    """A network that is fed by a pipeline; `make` is a function of `tf.compat.v1.data`."""
    import tensorflow as tf

    data = tf.data.Dataset.from_tensor_slices((cases.inputs(), cases.labels())).batch(4).repeat()
    images, label = getattr(tf.compat.v1.data, make)(data).get_next()
    logits = bayesian_dense(images, CLASSES, "den_1")
    tf.nn.sparse_softmax_cross_entropy_with_logits(label, logits)
    return images, logits


@pytest.mark.parametrize("make", ["make_one_shot_iterator", "make_initializable_iterator"])
def test_an_iterator_is_the_input(make: str) -> None:
    roles = find_roles(nodes_of(lambda: iterated(make)), PLAIN)
    assert (roles.input, roles.output, roles.label) == ("IteratorGetNext:0", "den_1/logits:0", None)


def test_an_iterator_is_cut(tmp_path: Path) -> None:
    made = graph_case(tmp_path, lambda: iterated("make_one_shot_iterator"))
    case = load_case(made.path)
    assert (case.roles.input, case.roles.output) == ("IteratorGetNext:0", "den_1/logits:0")
    assert case.graph.input_shape == (None, FEATURES)
    assert not any("Iterator" in node.op or "Dataset" in node.op for node in case.graph.nodes)
    check_draws(made, case)


def test_two_used_outputs_of_an_iterator() -> None:
    def build() -> None:
        import tensorflow as tf

        data = tf.data.Dataset.from_tensors((cases.inputs(), cases.inputs()))
        first, second = tf.compat.v1.data.make_one_shot_iterator(data).get_next()
        of_softmax(dense(first + second))

    with pytest.raises(AmbiguousCaseError, match="could be the input: IteratorGetNext:0, IteratorGetNext:1"):
        find_roles(nodes_of(build), PLAIN)


def test_an_output_without_an_input() -> None:
    import tensorflow as tf

    nodes = nodes_of(lambda: of_softmax(tf.identity([[1.0, 2.0]], name="constant")))
    with pytest.raises(InputError, match=r"the output 'constant/input:0' depends on no input\nName the input"):
        find_roles(nodes, PLAIN)


def test_a_second_placeholder_that_nothing_needs() -> None:
    """Keras' Sequential makes `den_1_input`; the label is another."""

    def build() -> None:
        placeholder("den_1_input")
        of_log_prob(dense(placeholder()))

    roles = find_roles(nodes_of(build), PLAIN)
    assert (roles.input, roles.label) == ("x:0", "y:0")
    assert roles.found[0] == "input: x:0, the only one that the output needs"


# The predecessor


def test_the_predecessors_first_two_lines() -> None:
    case = load_case(cases.trained_case())
    assert case.ops_names.operations[:2] == ("Placeholder", "Placeholder_1")
    assert (case.roles.input, case.roles.label) == ("Placeholder:0", "Placeholder_1:0")
    assert (case.roles.output, case.roles.kind) == ("den_2_1/BiasAdd:0", Output.LOGITS)
    assert case.roles.found[0] == "input: Placeholder:0, the first line of the operations file"


def test_the_graph_alone_gives_the_same(trained: Path) -> None:
    expected = load_case(trained).roles
    (trained / "Ops_name_BNN.txt").unlink()
    found = load_case(trained).roles
    assert found.annotations() == expected.annotations()
    assert expected.log_prob is not None
    assert expected.accuracy == "accuracy/value:0"


def test_first_lines_of_another_kind_do_not_count() -> None:
    def build() -> None:
        two = (placeholder("unused"), placeholder())
        of_sparse_cross_entropy(dense(two[1]))

    nodes = nodes_of(build)
    for first in (("unused", "y"), ("den_1/weights", "y"), ("gone", "y"), ("x",)):
        roles = find_roles(nodes, OpsNames(first))
        assert (roles.input, roles.label) == ("x:0", "y:0")
    assert find_roles(nodes, OpsNames(("y", "x"))).annotations() == roles.annotations()


def test_annotated_files_have_no_first_lines() -> None:
    nodes = nodes_of(lambda: of_softmax(dense(placeholder("a") + placeholder("b"))))
    with pytest.raises(AmbiguousCaseError, match="could be the input: a:0, b:0"):
        find_roles(nodes, OpsNames(("a", "b"), {"logits": ("den_1/logits",)}, annotated=True))
    assert find_roles(nodes, OpsNames(("a", "b"))).input == "a:0"


# Names that are given


@pytest.mark.parametrize("option", ["input_op", "output_op"])
def test_a_wrong_name(option: str) -> None:
    nodes = nodes_of(two_heads)

    def find(name: str) -> Roles:
        names = annotated(logits="first/logits")
        if option == "input_op":
            return find_roles(nodes, names, input_op=name)
        return find_roles(nodes, names, output_op=name)

    with pytest.raises(InputError, match=r"there is no operation 'first/logit' in the graph\n.*misses: first/logits, "):
        find("first/logit:0")
    with pytest.raises(InputError, match=r"there is no operation 'qqqq' in the graph\n.*near misses: none\."):
        find("qqqq")


@pytest.mark.parametrize(
    "role", ["input", "label", "logits", "probabilities", "prediction", "log_prob", "accuracy", "sample"]
)
def test_a_wrong_name_in_the_annotations(role: str) -> None:
    nodes = nodes_of(two_heads)
    names = annotated(**{"logits": "first/logits", role: "first/losses"})
    if role in ("probabilities", "prediction"):
        names = annotated(**{role: "first/losses"})
    with pytest.raises(InputError, match=r"there is no operation 'first/losses' .*\n.*near misses: first/loss"):
        find_roles(nodes, names)


@pytest.mark.parametrize("name", ["first/logits:x", "first/logits:-1", "first/logits:", "x:²", "x:9999999", "x:0:0"])
def test_a_name_that_is_no_tensor(name: str) -> None:
    operation = name.split(":")[0]
    with pytest.raises(InputError, match=rf"'{name}' does not name a tensor\nGive {operation} or, .* {operation}:1"):
        find_roles(nodes_of(two_heads), PLAIN, output_op=name)


def test_given_names_win() -> None:
    names = annotated(input="first/weights", logits="first/logits")
    roles = find_roles(nodes_of(two_heads), names, input_op="x", output_op="second/logits")
    assert (roles.input, roles.output) == ("x:0", "second/logits:0")
    assert roles.found == ("input: x, as given", "output: second/logits:0 (logits), as given")


def test_an_output_before_its_input() -> None:
    with pytest.raises(
        InputError, match=r"'den_1/BiasAdd:0' does not depend on the input 'den_2/BiasAdd:0'\n.*--input"
    ):
        load_case(cases.trained_case(), input_op="den_2/BiasAdd", output_op="den_1/BiasAdd", task="classification")


# Samples


def test_samples_are_what_the_output_needs() -> None:
    def build() -> None:
        import tensorflow as tf

        logits = dense(placeholder())
        tf.random.normal([], name="elsewhere")
        signs = tf.random.uniform([CLASSES], 0, 2, tf.int32, name="signs")
        noise = tf.random.normal([CLASSES], name="noise") + tf.random.truncated_normal([CLASSES], name="cut")
        of_softmax(logits + noise * tf.cast(signs, tf.float32))

    nodes = nodes_of(build)
    expected = ("noise/RandomStandardNormal", "cut/TruncatedNormal")
    assert find_roles(nodes, PLAIN).samples == expected
    everywhere = sampling_operations(nodes, nodes.by_name)
    assert everywhere == ("elsewhere/RandomStandardNormal", *expected)


def test_roles_are_a_value() -> None:
    nodes = nodes_of(two_heads)
    first, second = (find_roles(nodes, annotated(logits="first/logits")) for _ in range(2))
    assert isinstance(first, Roles)
    assert first == second
