"""Pictures of reports: small enough for a page, and whole."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest

from bprune.plots.regression import RegressionData
from bprune.report.figures import input_picture, thinned


@pytest.mark.parametrize(("examples", "step", "left"), [(1, 1, 1), (500, 1, 500), (501, 2, 251), (10_000, 20, 500)])
def test_very_many_examples_are_thinned(examples: int, step: int, left: int) -> None:
    along = np.arange(examples, dtype=np.float64)
    data, taken = thinned(RegressionData(0, along, along, along + 1.0, along + 2.0, None))
    assert taken == step
    assert data.mean.tolist() == along[::step].tolist()
    assert (len(data.mean), data.target) == (left, None)
    assert data.inputs is not None
    assert len(data.inputs) == len(data.stddev) == len(data.epistemic_stddev) == left


def test_an_input_that_is_a_picture_becomes_one() -> None:
    from matplotlib.image import imread

    value = np.zeros((5, 7, 1), np.float32)
    value[1, 2] = 1.0
    url = input_picture(value)
    assert url is not None
    kind, _, code = url.partition(",")
    assert kind == "data:image/png;base64"
    pixels = imread(io.BytesIO(base64.b64decode(code)))
    assert pixels.shape[:2] == (5, 7)
    assert [tuple(place) for place in np.argwhere(pixels[:, :, 0] < 0.5)] == [(1, 2)]
    assert input_picture(np.zeros(5)) is None
