"""Reliability, risk and coverage, and uncertainty of right and wrong predictions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bprune import open_results
from bprune.errors import InputError, UnsupportedError
from bprune.inference.statistics import ClassificationSummary
from bprune.metrics import ClassPredictions, evaluate
from bprune.plots import Ranking, reliability_data, risk_coverage_data, uncertainty_data
from bprune.results import Results
from tests.plots.plots_world import classification, regression, two_classes


def _with(path: Path, work: Callable[[Results], Any]) -> Any:
    with open_results(path) as results:
        return work(results)


def test_a_calibrated_world_lies_on_the_diagonal(tmp_path: Path) -> None:
    """Labels are drawn with the stated probabilities.

    12 bins of about 1600 predictions: accuracy has a standard error of 0.0125 at most; 5 of them in any of the
    bins happen once in 100,000 seeds. A world that is too sure of itself by 0.1 must be seen.
    """
    rng = np.random.default_rng(0)
    first = rng.uniform(0.5, 1.0, 12_000)
    labels = (rng.random(12_000) > first).astype(int)
    data = _with(
        classification(tmp_path / "a.h5", two_classes(first)[None], labels), lambda item: reliability_data([item])
    )
    curve = data.curves[0]
    shown = curve.counts > 0
    assert curve.counts.sum() == 12_000
    assert shown.tolist() == [False] * 7 + [True] * 8
    assert np.abs(curve.accuracy - curve.confidence)[shown].max() < 0.07
    assert curve.ece < 0.02
    boaster = two_classes(np.minimum(first + 0.1, 1.0))[None]
    boasting = _with(classification(tmp_path / "b.h5", boaster, labels), lambda item: reliability_data([item]))
    assert boasting.curves[0].ece > 0.05


def test_bins_by_hand(tmp_path: Path) -> None:
    first = np.array([0.9, 0.92, 0.6, 1.0])
    data = _with(
        classification(tmp_path / "a.h5", two_classes(first)[None], np.array([0, 1, 1, 0])),
        lambda item: reliability_data([item], ["mine"]),
    )
    curve = data.curves[0]
    assert curve.name == "mine"
    assert np.flatnonzero(curve.counts).tolist() == [9, 13, 14]
    assert curve.counts[[9, 13, 14]].tolist() == [1, 2, 1]
    np.testing.assert_allclose(curve.accuracy[[9, 13, 14]], [0.0, 0.5, 1.0])
    np.testing.assert_allclose(curve.confidence[[9, 13, 14]], [0.6, 0.91, 1.0], rtol=1e-6)
    np.testing.assert_allclose(curve.ece, (0.6 + 2 * 0.41) / 4, rtol=1e-6)


def test_risk_by_hand(tmp_path: Path) -> None:
    first = np.array([0.9, 0.6, 0.8, 0.7])
    path = classification(tmp_path / "a.h5", two_classes(first)[None], np.array([0, 1, 0, 1]))
    curve = _with(path, lambda item: risk_coverage_data([item])).curves[0]
    np.testing.assert_allclose(curve.coverage, [0.25, 0.5, 0.75, 1.0])
    np.testing.assert_allclose(curve.risk, [0.0, 0.0, 1 / 3, 0.5])
    np.testing.assert_allclose(curve.aurc, np.mean([0.0, 0.0, 1 / 3, 0.5]))


def test_equally_certain_predictions_share_their_errors(tmp_path: Path) -> None:
    path = classification(tmp_path / "a.h5", two_classes(np.full(4, 0.75))[None], np.array([0, 0, 1, 0]))
    curve = _with(path, lambda item: risk_coverage_data([item])).curves[0]
    np.testing.assert_allclose(curve.risk, 0.25)


def test_the_numbers_in_legends_are_those_of_the_metrics(tmp_path: Path) -> None:
    draws = np.random.default_rng(0).dirichlet(np.full(4, 0.3), (10, 200))
    draws[:, :20] = np.eye(4)[np.arange(20) % 4]  # a confidence of exactly 1
    labels = np.random.default_rng(1).integers(0, 4, 200)
    path = classification(tmp_path / "a.h5", draws, labels)
    with open_results(path) as results:
        summary = results.summary
        assert isinstance(summary, ClassificationSummary)
        found = evaluate(ClassPredictions(summary.mean, summary.expected_entropy), labels)
        assert reliability_data([results]).curves[0].ece == found["ece"].value
        np.testing.assert_allclose(risk_coverage_data([results]).curves[0].aurc, found["aurc"].value)


@pytest.mark.parametrize("ranking", Ranking)
def test_rankings_order_by_their_measure(tmp_path: Path, ranking: Ranking) -> None:
    """Example 0 is sure and right; 1 is torn between draws, and wrong; 2 is torn in every draw, and wrong."""
    draws = two_classes(np.array([[0.99, 0.99, 0.55], [0.99, 0.1, 0.55]]))
    path = classification(tmp_path / "a.h5", draws, np.array([0, 1, 1]))
    curve = _with(path, lambda item: risk_coverage_data([item], ranking)).curves[0]
    if ranking is Ranking.MUTUAL_INFORMATION:  # 0 and 2 do not differ between draws
        assert curve.risk[0] == 0.5 or curve.risk.tolist() == pytest.approx([0.0, 0.5, 2 / 3])
    else:
        assert curve.risk.tolist() == pytest.approx([0.0, 0.5, 2 / 3])


def test_uncertainty_of_right_and_wrong(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    sure = 0.95 + 0.01 * rng.random((20, 70))
    torn = rng.random((20, 30))
    draws = two_classes(np.concatenate([sure, torn], axis=1))
    labels = np.where(np.arange(100) < 70, 0, draws.mean(axis=0).argmin(axis=-1))
    data = _with(classification(tmp_path / "a.h5", draws, labels), uncertainty_data)
    assert (data.right, data.wrong) == (70, 30)
    for panel in data.panels:
        assert panel.auroc == 1.0
        np.testing.assert_allclose([panel.right.sum(), panel.wrong.sum()], 1.0)
        assert panel.edges[0] == 0.0
    assert [panel.title for panel in data.panels] == ["predictive entropy", "mutual information"]


def test_auroc_without_signal_is_a_half(tmp_path: Path) -> None:
    path = classification(tmp_path / "a.h5", two_classes(np.full((3, 4), 0.75)), np.array([0, 1, 0, 0]))
    assert [panel.auroc for panel in _with(path, uncertainty_data).panels] == [0.5, 0.5]


def test_missing_requirements_say_what_to_do(tmp_path: Path) -> None:
    draws = two_classes(np.full((3, 4), 0.75))
    unlabelled = classification(tmp_path / "a.h5", draws)
    pictures: list[Callable[[Results], Any]] = [
        lambda item: reliability_data([item]),
        lambda item: risk_coverage_data([item]),
        uncertainty_data,
    ]
    other = regression(tmp_path / "b.h5", np.ones((3, 4, 1)), np.ones((3, 4, 1)), np.ones((4, 1)), np.ones((4, 1)))
    for picture in pictures:
        with pytest.raises(InputError, match=r"has no labels.*\n.*--labels"):
            _with(unlabelled, picture)
        with pytest.raises(UnsupportedError, match="is of a regression"):
            _with(other, picture)
    right = classification(tmp_path / "c.h5", draws, np.zeros(4, int))
    with pytest.raises(InputError, match="all 4 predictions in .* are right"):
        _with(right, uncertainty_data)
