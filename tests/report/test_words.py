"""Numbers and findings in words."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bprune.judgement import compare_results
from bprune.judgement.change import RankCorrelation
from bprune.judgement.compare import Comparison, MetricChange
from bprune.metrics import Estimate
from bprune.metrics.base import Better
from bprune.report.words import bottom_line, outcome, plain_number, with_error
from bprune.results import open_results
from tests.plots.plots_world import classification, two_classes


@pytest.mark.parametrize(
    ("value", "error", "signed", "text"),
    [
        (0.98613, 0.00617, False, "0.9861 ± 0.0062"),
        (0.000321, 0.000216, False, "0.00032 ± 0.00022"),
        (0.5597, 0.2624, False, "0.56 ± 0.26"),
        (-0.00001, 0.0021, True, "+0.0000 ± 0.0021"),
        (-0.1, 0.02, True, "-0.100 ± 0.020"),
        (1234.5, 67.0, False, "1,234 ± 67"),
        (0.5, math.nan, True, "+0.5000"),
        (0.0, 0.0, True, "+0.0000 ± 0"),
        (math.nan, 1.0, False, "-"),
    ],
)
def test_a_number_ends_where_its_error_begins(value: float, error: float, signed: bool, text: str) -> None:
    assert with_error(value, error, signed=signed) == text


def test_numbers_are_readable() -> None:
    assert [plain_number(value) for value in (math.nan, 0.33921, 10.0, 223800.0)] == ["-", "0.3392", "10", "223,800"]


@pytest.mark.parametrize(
    ("change", "better", "told"),
    [
        (0.1, Better.HIGHER, "better"),
        (-0.1, Better.HIGHER, "worse"),
        (0.1, Better.LOWER, "worse"),
        (-0.1, Better.LOWER, "better"),
        (0.1, Better.NEITHER, "higher"),
        (-0.1, Better.NEITHER, "lower"),
        (0.01, Better.LOWER, "no clear change"),
    ],
)
def test_an_outcome_knows_which_way_is_good(change: float, better: Better, told: str) -> None:
    item = MetricChange(Estimate(0.5), Estimate(0.5 + change), Estimate(change), 0.01, 0.02)
    assert outcome({"m": better}, "m", item) == told
    assert outcome({"m": better}, "m", replace(item, joint_half_width=math.nan)) == "error unknown"


@pytest.fixture(scope="module")
def comparison(tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    """Of a network that is right and one that guesses."""
    folder = tmp_path_factory.mktemp("words")
    noise = np.random.default_rng(0)
    labels = np.tile([0, 1], 30)
    right = np.where(labels == 0, 0.9, 0.1) + noise.uniform(-0.05, 0.05, (40, 60))
    guess = noise.uniform(0.3, 0.7, (40, 60))
    for name, values in (("a", right), ("b", guess)):
        classification(folder / f"{name}.h5", two_classes(values), labels, inputs=np.zeros((60, 2), np.float32))
    with open_results(Path(folder / "a.h5")) as a, open_results(Path(folder / "b.h5")) as b:
        return compare_results(a, b)


def test_harm_is_called_harm(comparison: Comparison) -> None:
    assert bottom_line(comparison).startswith("Pruning did harm: accuracy, negative log-likelihood")


def test_no_harm_is_said_with_care(comparison: Comparison) -> None:
    calm = {
        name: replace(item, joint_half_width=abs(item.difference.value) + 1.0)
        for name, item in comparison.metrics.items()
    }
    kept = replace(comparison, metrics=calm, uncertainty=RankCorrelation(0.94, 0.96))
    assert bottom_line(kept).startswith("No clear harm was found: accuracy, ")
    assert "ranks" not in bottom_line(kept)
    lost = replace(kept, uncertainty=RankCorrelation(0.78, 0.96))
    assert "the correlation of the ranks is 0.78, and 0.96" in bottom_line(lost)
    unknown = replace(kept, uncertainty=RankCorrelation(0.78, math.nan))
    assert bottom_line(unknown) == bottom_line(kept)
