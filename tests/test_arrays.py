"""Arrays that nobody writes to."""

from __future__ import annotations

import numpy as np
import pytest

from bprune.arrays import is_same, read_only
from bprune.case.output import Output
from bprune.engines.native import NativeEngine
from bprune.lowering.ops import Dense
from bprune.lowering.program import Program
from bprune.lowering.shapes import Shape
from bprune.lowering.weights import Weights


def test_a_view_that_cannot_be_written() -> None:
    values = np.arange(6.0).reshape(2, 3)
    view = read_only(values)
    assert np.shares_memory(view, values)
    assert values.flags.writeable
    with pytest.raises(ValueError, match="read-only"):
        view[0, 0] = 1.0


def test_the_same_numbers() -> None:
    values = np.arange(6.0).reshape(2, 3)
    assert is_same(values, values.copy())
    assert is_same(read_only(values), read_only(values))
    assert not is_same(values, values + 1.0)
    assert not is_same(values, values[:1])
    assert not is_same(values, values.astype(np.float32))
    assert not is_same(read_only(values)[:, :2], read_only(values)[:, 1:])
    nan = np.full(3, np.nan)
    assert is_same(read_only(nan), read_only(nan)), "nothing is read"


def test_an_engine_notices_inputs_that_were_written_to() -> None:
    kernel = Weights(np.eye(3, dtype=np.float32), np.full((3, 3), 0.1, np.float32), "Normal", *_noise())  # type: ignore[arg-type]
    engine = NativeEngine(Program("x", Shape((3,)), (Dense("d", ("x",), kernel),), ("d",)), Output.PREDICTION, 0)
    x = np.ones((2, 3), np.float32)
    first = engine.draw(x, range(2)).values
    x[0, 0] = 5.0
    assert np.abs(engine.draw(x, range(2)).values - first).max() > 1.0
    x = np.ones((2, 3), np.float32)
    np.testing.assert_array_equal(engine.draw(read_only(x), range(2)).values, first)
    np.testing.assert_array_equal(engine.draw(read_only(x), range(2)).values, first)


def _noise() -> tuple[object, object]:
    from bprune.lowering.weights import Stream

    return Stream("d/kernel", 0, 9, 3), np.arange(9, dtype=np.int32).reshape(3, 3)
