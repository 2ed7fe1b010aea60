"""Worlds for the lowering: networks as cases, and what their own graph gives when nothing is random."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from bprune.arrays import AnyArray
from bprune.case import Case, load_case
from bprune.engines.check import graph_at_zero_scale
from bprune.lowering import Program
from bprune.lowering.read import read_program
from bprune.posterior import Network, read_network
from tests.lowering.reference import run_program

__all__ = ["agrees", "distance", "inputs_of", "keras_case", "lowered", "wide"]

RELATIVE_TOLERANCE = 1e-5
"""Law 4: of the largest magnitude."""


def inputs_of(case: Case, examples: int = 4) -> AnyArray:
    """Inputs of a case, all different."""
    shape = [size or 1 for size in (case.graph.input_shape or ())[1:]]
    count = case.graph.batch_size or examples
    values = np.random.default_rng(3).normal(0.3, 1.0, (count, *shape))
    return values.astype(case.graph.input_dtype)


def lowered(path: Path, **options: Any) -> tuple[Case, Network, Program]:
    """A case, its posteriors, and its program as it was read."""
    case = load_case(path, **options)
    network = read_network(case)
    return case, network, read_program(case, network)


def distance(case: Case, network: Network, program: Program, inputs: AnyArray | None = None) -> float:
    """How far program and graph are apart when all scales are 0, in units of the output's largest magnitude."""
    values = inputs_of(case) if inputs is None else inputs
    expected = graph_at_zero_scale(case, network, values)
    found = run_program(program, values)
    assert [item.shape for item in found] == [item.shape for item in expected]
    assert all(np.ptp(item, axis=0).max() > 0.0 for item in expected), "the examples do not differ"
    return max(
        float(np.abs(a - b).max() / np.abs(a).max()) if a.size else 0.0 for a, b in zip(expected, found, strict=True)
    )


def agrees(case: Case, network: Network, program: Program, inputs: AnyArray | None = None) -> bool:
    """Law 4: with all scales 0 the program equals the graph."""
    return distance(case, network, program, inputs) <= RELATIVE_TOLERANCE


def wide() -> Any:
    """A posterior with scales that show, and locations that differ."""
    import tensorflow_probability as tfp
    import tf_keras

    return tfp.layers.default_mean_field_normal_fn(
        loc_initializer=tf_keras.initializers.RandomNormal(stddev=0.5, seed=2),
        untransformed_scale_initializer=tf_keras.initializers.RandomNormal(mean=-1.0, stddev=0.3, seed=1),
    )


def keras_case(folder: Path, build: Callable[[], Any], task: str = "regression") -> Path:
    """A Keras model as a case; its variables get values that are all different and not 0."""
    from bprune.training import write_case

    model = build()
    generator = np.random.default_rng(5)
    for variable in model.variables:
        if "posterior" not in variable.name and variable.dtype.is_floating:
            variable.assign(np.abs(generator.normal(0.6, 0.3, variable.shape)) + 0.05)
    write_case(folder, model, iteration=1, task=task)
    return folder
