"""Input, label and output are what the annotations say, else what the graph shows; a choice is left to the user."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bprune.case import Case, Task, load_case
from bprune.case.names import OpsNames
from bprune.case.nodes import Nodes
from bprune.case.output import Output
from bprune.case.roles import Roles, find_roles, sampling_operations
from bprune.engines.graph import GraphEngine
from bprune.errors import AmbiguousCaseError, InputError
from bprune.posterior import read_network
from tests.case import cases
from tests.case.cases import CLASSES, FEATURES, THIRD_PARTY, Made, bayesian_dense, graph_case

pytestmark = [pytest.mark.filterwarnings(line) for line in THIRD_PARTY]

PLAIN = OpsNames(())


def nodes_of(build: Callable[[], object]) -> Nodes:
    """The graph that a function builds; nothing is run."""
    import tensorflow as tf

    with tf.Graph().as_default() as graph:
        build()
        return Nodes(graph.as_graph_def().node)


def placeholder(name: str = "x", shape: list[int | None] | None = None, dtype: Any = None) -> Any:
    import tensorflow as tf

    return tf.compat.v1.placeholder(dtype or tf.float32, [None, FEATURES] if shape is None else shape, name=name)


def label_placeholder() -> Any:
    import tensorflow as tf

    return placeholder("y", [None], tf.int32)


def dense(tensor: Any, name: str = "den_1", units: int = CLASSES) -> Any:
    """A deterministic product with a constant: `<name>/logits`."""
    import tensorflow as tf

    weights = tf.ones([int(tensor.shape[-1]), units], name=f"{name}/weights")
    return tf.matmul(tensor, weights, name=f"{name}/logits")


def annotated(**roles: str | tuple[str, ...]) -> OpsNames:
    return OpsNames((), {role: (name,) if isinstance(name, str) else name for role, name in roles.items()}, True)


def check_draws(made: Made, case: Case) -> None:
    """The case runs, and as its scales are tiny every draw is what its own session gave."""
    network = read_network(case)
    draws = GraphEngine(case, network, network.masks, 0).draw(made.inputs, range(2)).values
    powers = np.exp(made.outputs - made.outputs.max(axis=-1, keepdims=True))
    for draw in draws:
        np.testing.assert_allclose(draw, powers / powers.sum(axis=-1, keepdims=True), atol=1e-5)


# Annotations


def two_heads() -> None:
    import tensorflow as tf

    images = placeholder()
    label = label_placeholder()
    for name in ("first", "second"):
        logits = dense(images, name)
        loss = tf.nn.sparse_softmax_cross_entropy_with_logits(label, logits, name=f"{name}/loss")
        tf.negative(loss, name=f"{name}/log_prob")
        tf.nn.softmax(logits, name=f"{name}/probabilities")


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


# Logits in the graph


def of_cross_entropy(logits: Any) -> None:
    import tensorflow as tf

    tf.nn.softmax_cross_entropy_with_logits(placeholder("y", [None, CLASSES]), logits)


def of_sparse_cross_entropy(logits: Any) -> None:
    import tensorflow as tf

    tf.nn.sparse_softmax_cross_entropy_with_logits(label_placeholder(), logits)


def of_softmax(logits: Any) -> None:
    import tensorflow as tf

    tf.nn.softmax(logits)


def of_log_softmax(logits: Any) -> None:
    import tensorflow as tf

    tf.nn.log_softmax(logits)


def of_argmax(logits: Any) -> None:
    import tensorflow as tf

    tf.argmax(logits, axis=1)


def of_identities(logits: Any) -> None:
    import tensorflow as tf

    same = tf.stop_gradient(tf.identity(tf.identity_n([tf.constant(1.0), logits])[1]))
    tf.nn.softmax(tf.ensure_shape(same, [None, CLASSES]))


def of_log_prob(logits: Any) -> None:
    """TFP multiplies the logits with ones in the shape of the labels."""
    import tensorflow_probability as tfp

    tfp.distributions.Categorical(logits=logits).log_prob(label_placeholder())


def of_log_prob_from_the_left(logits: Any) -> None:
    import tensorflow as tf

    of_sparse_cross_entropy(tf.ones_like(logits) * logits)


def of_a_gradient(logits: Any) -> None:
    """A gradient holds a softmax of its own."""
    import tensorflow as tf

    loss = tf.nn.sparse_softmax_cross_entropy_with_logits(label_placeholder(), logits)
    tf.gradients(loss, logits.op.inputs[0])


@pytest.mark.parametrize(
    "use",
    [
        of_cross_entropy, of_sparse_cross_entropy, of_softmax, of_log_softmax, of_argmax, of_identities, of_log_prob,
        of_log_prob_from_the_left, of_a_gradient,
    ],
)  # fmt: skip
def test_logits_in_the_graph(use: Callable[[Any], None]) -> None:
    roles = find_roles(nodes_of(lambda: use(dense(placeholder()))), PLAIN)
    assert (roles.input, roles.output, roles.kind) == ("x:0", "den_1/logits:0", Output.LOGITS)
    assert "found in the graph" in roles.found[1]


@pytest.mark.parametrize("width", [CLASSES, None], ids=["classes", "unknown width"])
def test_what_a_cross_entropy_reshapes(width: int | None) -> None:
    """A matrix stays as it is; images of classes do not."""
    import tensorflow as tf

    def build(shape: list[int | None]) -> None:
        of_cross_entropy(tf.negative(placeholder(shape=shape), name="logits"))

    assert find_roles(nodes_of(lambda: build([None, width])), PLAIN).output == "logits:0"
    pixels = find_roles(nodes_of(lambda: build([None, 8, width])), PLAIN)
    assert pixels.output == "softmax_cross_entropy_with_logits/Reshape:0"


@pytest.mark.parametrize("use", [of_cross_entropy, of_log_prob], ids=["reshaped", "multiplied"])
def test_logits_that_are_named_need_no_task(use: Callable[[Any], None]) -> None:
    nodes = nodes_of(lambda: use(dense(placeholder())))
    assert find_roles(nodes, PLAIN, output_op="den_1/logits").kind is Output.LOGITS


def test_a_product_with_other_numbers_is_not_peeled() -> None:
    import tensorflow as tf

    def build() -> None:
        of_softmax(tf.multiply(dense(placeholder()), tf.fill([CLASSES], 2.0), name="tempered"))

    assert find_roles(nodes_of(build), PLAIN).output == "tempered:0"


def test_the_peeled_product_is_there() -> None:
    """Else the test of log_prob above shows nothing."""
    nodes = nodes_of(lambda: of_log_prob(dense(placeholder())))
    loss = next(node for node in nodes if node.op == "SparseSoftmaxCrossEntropyWithLogits")
    assert nodes[nodes.inputs(loss.name)[0]].op == "Mul"


def test_a_cross_entropy_weighs_more_than_a_softmax() -> None:
    """An attention layer has a softmax too."""

    def build() -> None:
        import tensorflow as tf

        images = placeholder()
        attended = tf.nn.softmax(dense(images, "attention", FEATURES)) * images
        of_sparse_cross_entropy(dense(attended))

    assert find_roles(nodes_of(build), PLAIN).output == "den_1/logits:0"


def test_two_heads() -> None:
    nodes = nodes_of(two_heads)
    message = r"several operations could be the logits: first/logits:0, second/logits:0\n.*--output-op NAME"
    with pytest.raises(AmbiguousCaseError, match=message):
        find_roles(nodes, PLAIN)
    assert find_roles(nodes, PLAIN, output_op="second/logits").output == "second/logits:0"


def test_two_heads_in_a_case(tmp_path: Path) -> None:
    def build() -> tuple[Any, Any]:
        import tensorflow as tf

        source = placeholder()
        heads = [bayesian_dense(source, CLASSES, name) for name in ("first", "second")]
        for head in heads:
            tf.nn.softmax(head)
        return source, heads[1]

    made = graph_case(tmp_path, build)
    with pytest.raises(AmbiguousCaseError, match="could be the logits: first/logits:0, second/logits:0"):
        load_case(made.path)
    case = load_case(made.path, output_op="second/logits")
    assert read_network(case).layers == ("second",)
    check_draws(made, case)


def test_nothing_like_logits() -> None:
    nodes = nodes_of(lambda: dense(placeholder()))
    with pytest.raises(AmbiguousCaseError, match=r"no operation of the graph looks like logits .*\n.*--output-op NAME"):
        find_roles(nodes, PLAIN)
    with pytest.raises(AmbiguousCaseError, match=r"not clear what 'den_1/logits' predicts\nSay it with --task class"):
        find_roles(nodes, PLAIN, output_op="den_1/logits")
    assert find_roles(nodes, PLAIN, output_op="den_1/logits", task=Task.CLASSIFICATION).kind is Output.LOGITS


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_probabilities_that_are_given_lead_to_logits(activation: str) -> None:
    def build() -> None:
        import tensorflow as tf

        tf.identity(getattr(tf.nn, activation)(dense(placeholder())), name="probabilities")

    roles = find_roles(nodes_of(build), PLAIN, output_op="probabilities")
    assert (roles.output, roles.kind) == ("den_1/logits:0", Output.LOGITS)
    assert f"the input of the {activation} probabilities that was given" in roles.found[1]


# Regression


def test_a_regression_is_named(tmp_path: Path) -> None:
    def build() -> tuple[Any, Any]:
        source = placeholder()
        return source, bayesian_dense(source, 1, "den_1")

    made = graph_case(tmp_path, build)
    with pytest.raises(AmbiguousCaseError, match=r"looks like logits .*\n.*and --task regression if it predicts real"):
        load_case(made.path)
    with pytest.raises(AmbiguousCaseError, match=r"does not say which operation predicts\n.*NAME --task regression"):
        load_case(made.path, task="regression")
    with pytest.raises(AmbiguousCaseError, match="it is not clear what 'den_1/logits' predicts"):
        load_case(made.path, output_op="den_1/logits")
    case = load_case(made.path, output_op="den_1/logits", task="regression")
    assert (case.task, case.roles.kind) == (Task.REGRESSION, Output.PREDICTION)
    network = read_network(case)
    draws = GraphEngine(case, network, network.masks, 0).draw(made.inputs, range(1)).values
    np.testing.assert_allclose(draws[0].reshape(made.outputs.shape), made.outputs, atol=1e-5)


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
