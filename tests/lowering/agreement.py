"""Whether two programs compute the same numbers, given the same draws."""

from __future__ import annotations

import numpy as np

from bprune.lowering.program import Program
from tests.lowering.programs import examples
from tests.lowering.reference import run_program, run_tensors, standard_noise

__all__ = ["TOLERANCE", "disagreement", "same_numbers"]

TOLERANCE = 1e-5
"""Float32 numbers are folded and sums are reordered; the oracle itself is float64."""

_DRAWS = (None, standard_noise(1), standard_noise(2))


def disagreement(first: Program, second: Program) -> float:
    """The largest difference of an output in three draws, relative to the largest number in the first program."""
    assert first.input_shape == second.input_shape
    inputs, worst = examples(first), 0.0
    for noise in _DRAWS:
        tensors = run_tensors(first, inputs, noise)
        size = max(float(np.max(np.abs(item))) for item in tensors.values())
        assert np.isfinite(size)
        for name, new in zip(first.outputs, run_program(second, inputs, noise), strict=True):
            assert tensors[name].shape == new.shape
            worst = max(worst, float(np.max(np.abs(tensors[name] - new))) / size)
    return worst


def same_numbers(first: Program, second: Program) -> bool:
    """Whether two programs agree."""
    return disagreement(first, second) < TOLERANCE
