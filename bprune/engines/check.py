"""Checks before the first draw: that a program is the network of its graph, and that bfloat16 is accurate enough.

With all scales 0 a lowered program must equal the graph (law 4). The check runs the foreign graph itself, so a network
that was understood wrongly is not run as something else.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from bprune.arrays import AnyArray, BoolArray
from bprune.case.case import Case
from bprune.case.output import Output
from bprune.engines.graph_session import GraphSession
from bprune.engines.tensorflow import Precision, TensorFlowEngine
from bprune.errors import EngineError, SelfCheckError
from bprune.lowering.program import Program
from bprune.posterior.posterior import Network
from bprune.posterior.values import pruned_values

__all__ = [
    "LARGEST_BFLOAT16_DIFFERENCE",
    "LARGEST_ERROR",
    "bfloat16_difference",
    "check_lowering",
    "graph_at_zero_scale",
    "probe_inputs",
]

LARGEST_ERROR = 1e-5
"""How far program and graph may be apart, in units of the output's largest magnitude."""

LARGEST_BFLOAT16_DIFFERENCE = 0.01
"""Mean absolute difference between draws in bfloat16 and in float32 of the same noise: of probabilities, or of
predictions in units of their largest magnitude."""

_PROBES = 4
_LARGEST_INTEGER = 255


def probe_inputs(program: Program, dtype: str) -> AnyArray:
    """A few pseudo-random inputs, the same at every call.

    Args:
        program: The program, whose input's shape they have.
        dtype: Their type. Floats: half of the examples uniform in [0, 1), half standard normal. Integers: 0 to 255, or
            to the largest that the type holds. Booleans: either.

    Returns:
        `[example, ...]`.
    """
    generator = np.random.default_rng(20200)
    shape = (_PROBES, *program.input_shape)
    kind = np.dtype(dtype)
    if kind.kind in "iu":
        return generator.integers(0, min(_LARGEST_INTEGER, np.iinfo(kind).max), shape, endpoint=True).astype(kind)
    if kind.kind == "b":
        return generator.integers(0, 2, shape).astype(kind)
    uniform, normal = generator.random(shape), generator.standard_normal(shape)
    return np.concatenate([uniform, normal]).astype(kind)


def graph_at_zero_scale(
    case: Case, network: Network, inputs: AnyArray, masks: Mapping[str, BoolArray] | None = None
) -> list[AnyArray]:
    """The raw outputs of a case's graph when all posteriors have the scale 0.

    Args:
        case: The case.
        network: Its posteriors.
        inputs: `[example, ...]`.
        masks: True where a weight is kept, by posterior name; None for the network as the checkpoint holds it.

    Returns:
        `[example, ...]` of every output, float32.

    Raises:
        UnsupportedError: If this TensorFlow cannot run the graph.
        EngineError: If it fails, or does not give one row per example.
    """
    values = case.checkpoint.read_all(variable.name for variable in case.graph.variables)
    if masks is not None:
        values.update(pruned_values(network, masks, values))
    nothing = {item.name: np.zeros(item.shape, np.bool_) for item in network.posteriors}
    session = GraphSession(case, values, network.scale_masks(nothing), seed=0)
    try:
        outputs = session.evaluate(inputs)
        if all(item.ndim and len(item) == len(inputs) for item in outputs):
            return outputs
    except EngineError:
        if not session.use_stated_batch_size():
            raise
        return session.evaluate(inputs)
    if not session.use_stated_batch_size():
        raise EngineError(f"the graph does not give one row for each of {len(inputs)} examples")
    return session.evaluate(inputs)


def check_lowering(
    case: Case, network: Network, program: Program, masks: Mapping[str, BoolArray] | None = None
) -> float:
    """Compare a program with its graph at scales of 0 (law 4).

    Args:
        case: The case.
        network: Its posteriors.
        program: What the case was lowered to.
        masks: The masks that the program was specialised with, or None.

    Returns:
        The largest difference, in units of the largest magnitude of the output.

    Raises:
        SelfCheckError: If it is above `LARGEST_ERROR`.
        UnsupportedError: If this TensorFlow cannot run the graph.
        EngineError: If the graph fails.
    """
    inputs = probe_inputs(program, case.graph.input_dtype)
    expected = graph_at_zero_scale(case, network, inputs, masks)
    engine = TensorFlowEngine(program, case.roles.kind, seed=0)
    found = engine.at_zero_scale(inputs)
    if len(found) != len(expected):
        raise _refused(f"it has {len(found)} outputs and the graph {len(expected)}")
    error = max(_error(*pair) for pair in zip(found, expected, strict=True))
    if not error <= LARGEST_ERROR:
        raise _refused(f"at scales of 0 it differs by {error:.2g} of the largest output, {LARGEST_ERROR:g} is allowed")
    return error


def bfloat16_difference(program: Program, kind: Output, dtype: str) -> float:
    """How far draws in bfloat16 are from draws in float32 with the same noise; see `LARGEST_BFLOAT16_DIFFERENCE`.

    Args:
        program: The program.
        kind: What its output holds.
        dtype: The type of its inputs.
    """
    inputs = probe_inputs(program, dtype)
    found = {}
    for precision in Precision:
        engine = TensorFlowEngine(program, kind, 0, precision)
        engine.prepare(len(inputs))
        found[precision] = engine.draw(inputs, range(2)).values
    wide, narrow = found[Precision.FLOAT32], found[Precision.BFLOAT16]
    unit = float(np.abs(wide).max()) if kind is Output.PREDICTION else 1.0
    difference = float(np.mean(np.abs(narrow - wide)))
    return difference / unit if difference else 0.0


def _error(found: AnyArray, expected: AnyArray) -> float:
    """The largest difference where the graph gives finite numbers, in units of the largest magnitude of those."""
    if found.size != expected.size or len(found) != len(expected):
        return float("inf")
    found, expected = found.reshape(-1).astype(np.float64), expected.reshape(-1).astype(np.float64)
    usable = np.isfinite(expected)
    if not usable.any():
        return float("nan")
    difference = float(np.max(np.abs(found[usable] - expected[usable])))
    magnitude = float(np.abs(expected[usable]).max())
    return difference / magnitude if difference else 0.0


def _refused(reason: str) -> SelfCheckError:
    return SelfCheckError(
        f"the lowered program is not the network of the graph: {reason}",
        hint="Run with --engine graph, and report this.",
    )
