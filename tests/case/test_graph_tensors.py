"""Inputs and outputs of graphs in unusual forms: other shapes, batch sizes, tensors inside of the graph."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bprune.case import load_case
from bprune.errors import UnsupportedError
from bprune.posterior import read_network
from tests.case import cases
from tests.case.cases import CLASSES, FEATURES, THIRD_PARTY, TINY, Made, bayesian_dense, flipout, graph_case
from tests.case.graph_checks import Built, check, engine_of, placeholder, softmax

pytestmark = [pytest.mark.filterwarnings(line) for line in THIRD_PARTY]


def test_second_output_of_an_operation(tmp_path: Path) -> None:
    def build() -> Built:
        import tensorflow as tf

        source = placeholder()
        return source, tf.split(flipout(2 * CLASSES, "den_1", 1)(source), 2, axis=1, name="halves")[1]

    case = check(graph_case(tmp_path, build), output_op="halves:1")
    assert case.graph.outputs == ("halves:1",)


def test_regression(tmp_path: Path) -> None:
    def build() -> Built:
        source = placeholder()
        return source, flipout(2, "den_1", 1)(source)

    check(graph_case(tmp_path, build), output_op="den_1/BiasAdd", task="regression")


def test_input_that_is_an_inner_tensor(tmp_path: Path) -> None:
    def build() -> Built:
        import tensorflow as tf

        source = placeholder(tf.int32)
        scaled = tf.divide(tf.cast(source, tf.float32), 255.0, name="scaled")
        return source, tf.identity(flipout(CLASSES, "den_1", 1)(scaled), name="out")

    integers = np.arange(24, dtype=np.int32).reshape(4, FEATURES)
    made = graph_case(tmp_path, build, given=integers)
    check(made, output_op="out")
    check(Made(made.path, (integers / 255.0).astype(np.float32), made.outputs), output_op="out", input_op="scaled")


def test_input_without_a_shape(tmp_path: Path) -> None:
    def build() -> Built:
        import tensorflow as tf

        source = tf.compat.v1.placeholder(tf.float32, name="x")
        reshaped = tf.reshape(source, [-1, FEATURES], name="rows")
        return source, tf.identity(flipout(CLASSES, "den_1", 1)(reshaped), name="out")

    made = graph_case(tmp_path, build)
    case = load_case(made.path, output_op="out", task="classification")
    assert read_network(case).layers == ("den_1",)
    with pytest.raises(UnsupportedError, match=r"which shape its input 'x:0' has\n.*--input-op"):
        engine_of(case)
    assert check(made, output_op="out", input_op="rows").graph.input_shape == (None, FEATURES)


def test_fixed_batch_size(tmp_path: Path) -> None:
    def build() -> Built:
        import tensorflow as tf

        source = placeholder(shape=[4, FEATURES])
        return source, tf.identity(bayesian_dense(source, CLASSES, "den_1"), name="out")

    case = check(graph_case(tmp_path, build), output_op="out")
    assert case.graph.input_shape == (None, FEATURES)


def test_defaults_that_an_export_left_away(tmp_path: Path) -> None:
    """The seeds of noise are such defaults: without them the same seed would not give the same draws."""

    def build() -> Built:
        source = placeholder()
        return source, bayesian_dense(source, CLASSES, "den_1", scale=-1.0)

    made = graph_case(tmp_path, build)

    def strip(graph_def: Any) -> None:
        noise = cases.node(graph_def, "den_1/random_normal/RandomStandardNormal")
        for name in ("seed", "seed2"):
            del noise.attr[name]

    case = load_case(cases.alter(made.path, strip), output_op="den_1/logits", task="classification")
    first, again = (engine_of(case).draw(made.inputs, range(3)).values for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first[0] - first[1]).max() > 1e-3


def test_seeds_of_a_written_case() -> None:
    case = load_case(cases.keras_case())
    first, again = (engine_of(case).draw(cases.inputs(), range(3)).values for _ in range(2))
    np.testing.assert_array_equal(first, again)


def test_tiny_is_tiny() -> None:
    assert np.log1p(np.exp(TINY)) < 1e-15


@pytest.mark.parametrize("examples", [1, 4, 9])
def test_flipout_that_was_built_for_a_batch_size(tmp_path: Path, examples: int) -> None:
    """Flipout draws signs for each example, so such a graph takes batches of its own size alone; they are filled up."""

    def build() -> Built:
        import tensorflow as tf

        source = placeholder(shape=[4, FEATURES])
        return source, tf.identity(flipout(CLASSES, "den_1", 1)(source), name="out")

    made = graph_case(tmp_path, build)
    engine = engine_of(load_case(made.path, output_op="out", task="classification"))
    given = np.concatenate([made.inputs] * 3)[:examples]
    expected = np.concatenate([softmax(made.outputs)] * 3)[:examples]
    np.testing.assert_allclose(engine.draw(given, range(2)).values[1], expected, rtol=1e-4)
