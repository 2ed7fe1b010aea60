"""What a graph by hand must do: load, run, and give what its own session gave."""

from __future__ import annotations

from typing import Any

import numpy as np

from bprune.arrays import AnyArray
from bprune.case import Case, Task, load_case
from bprune.engines.graph import GraphEngine
from bprune.posterior import read_network
from tests.case.cases import FEATURES, Made

Built = tuple[Any, Any]
"""Input and output of a graph."""


def engine_of(case: Case) -> GraphEngine:
    network = read_network(case)
    return GraphEngine(case, network, network.masks, 0)


def softmax(values: AnyArray) -> AnyArray:
    powers = np.exp(values - values.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True))


def check(made: Made, *, tolerance: float = 1e-5, **options: Any) -> Case:
    """The case runs, and its draws are the session's output, as all scales are tiny."""
    case = load_case(made.path, **{"task": "classification", **options})
    draws = engine_of(case).draw(made.inputs, range(2)).values
    assert np.isfinite(draws).all()
    expected = made.outputs if case.task is Task.REGRESSION else softmax(np.asarray(made.outputs, np.float64))
    np.testing.assert_allclose(draws[0], expected, atol=tolerance)
    np.testing.assert_allclose(draws[1], expected, atol=tolerance)
    return case


def placeholder(dtype: Any = None, shape: list[int | None] | None = None) -> Any:
    import tensorflow as tf

    return tf.compat.v1.placeholder(dtype or tf.float32, [None, FEATURES] if shape is None else shape, name="x")
