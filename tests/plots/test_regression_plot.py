"""Bands of a regression."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bprune import open_results
from bprune.errors import InputError, UnsupportedError, UsageError
from bprune.plots import regression_data
from bprune.plots.regression import RegressionData
from tests.plots.plots_world import classification, regression, two_classes

MEAN = np.random.default_rng(0).normal(size=(8, 4, 2))
SCALE = np.full((8, 4, 2), 0.5)
TARGETS = np.array([[3.0, 0.0], [1.0, 5.0], [2.0, 2.0], [0.0, 1.0]])


def _data(path: Path, output: int = 0) -> RegressionData:
    with open_results(path) as results:
        return regression_data(results, output)


def test_a_single_input_is_the_axis(tmp_path: Path) -> None:
    inputs = np.array([[0.3], [-1.0], [2.0], [0.0]])
    data = _data(regression(tmp_path / "a.h5", MEAN, SCALE, inputs, TARGETS), 1)
    order = [1, 3, 0, 2]
    assert data.inputs is not None
    assert data.target is not None
    np.testing.assert_array_equal(data.inputs, inputs[order, 0])
    np.testing.assert_array_equal(data.target, TARGETS[order, 1])
    np.testing.assert_allclose(data.mean, MEAN.mean(axis=0)[order, 1], rtol=1e-5)
    spread = MEAN.std(axis=0, ddof=1)[order, 1]
    np.testing.assert_allclose(data.epistemic_stddev, spread, rtol=1e-5)
    np.testing.assert_allclose(data.stddev, np.sqrt(0.25 + spread**2), rtol=1e-5)


def test_several_inputs_are_ordered_by_target(tmp_path: Path) -> None:
    data = _data(regression(tmp_path / "a.h5", MEAN, SCALE, np.ones((4, 3)), TARGETS))
    assert data.inputs is None
    assert data.target is not None
    assert data.target.tolist() == [0.0, 1.0, 2.0, 3.0]


def test_missing_requirements_say_what_to_do(tmp_path: Path) -> None:
    path = regression(tmp_path / "a.h5", MEAN, SCALE, np.ones((4, 3)), None)
    with pytest.raises(InputError, match=r"no targets.*\n.*--labels"):
        _data(path)
    with pytest.raises(UsageError, match="there is no output 2"):
        _data(path, 2)
    with pytest.raises(UnsupportedError, match="is of a classification"):
        _data(classification(tmp_path / "b.h5", two_classes(np.full((2, 3), 0.75))))
    assert _data(regression(tmp_path / "c.h5", MEAN, SCALE, np.ones((4, 1)), None)).target is None
