"""Metrics against scikit-learn, scoringrules and torchmetrics, and by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import scoringrules
from scipy.stats import norm
from sklearn import metrics as sk

from bprune.arrays import AnyArray
from bprune.errors import InputError, UsageError
from bprune.metrics import METRICS, ClassPredictions, Metric, ValuePredictions, choose_metrics, evaluate
from bprune.metrics.accuracy import top_k_accuracy
from bprune.metrics.aurc import risk_coverage
from bprune.metrics.bins import equal_mass_bins, equal_width_bins
from bprune.metrics.ood import auroc
from tests.metrics.metric_worlds import Classifier, of_draws, of_values, plain, table

TORCHMETRICS = {"accuracy": 0.6833333373069763, "ece": 0.2882843315601349, "mce": 0.800000011920929}
"""What torchmetrics 1.9.0 with torch 2.14.1 says of `table()`: multiclass_accuracy(average="micro") and
multiclass_calibration_error(n_bins=15) with norm="l1" and norm="max"."""


def values(p: AnyArray, labels: AnyArray) -> dict[str, float]:
    return {name: item.value for name, item in evaluate(plain(p), labels).items()}


def test_classification_equals_scikit_learn() -> None:
    p, labels = table()
    found = values(p, labels)
    exact = p.astype(np.float64)
    clipped = np.maximum(exact, np.finfo(np.float32).tiny)
    assert found["accuracy"] == pytest.approx(sk.accuracy_score(labels, p.argmax(axis=-1)))
    assert found["nll"] == pytest.approx(-np.log(clipped[np.arange(60), labels]).mean())
    assert values(p[8:], labels[8:])["nll"] == pytest.approx(
        sk.log_loss(labels[8:], exact[8:] / exact[8:].sum(axis=-1, keepdims=True), labels=range(7)), rel=1e-5
    )
    brier = sum(sk.brier_score_loss(labels == c, np.clip(exact[:, c], 0, 1)) for c in range(7))
    assert found["brier"] == pytest.approx(brier)
    for k in (1, 2, 5):  # without ties, which scikit-learn breaks the other way
        rows = np.array([len(set(row)) == 7 for row in p.tolist()])
        expected = sk.top_k_accuracy_score(labels[rows], exact[rows], k=k, labels=range(7))
        assert top_k_accuracy(k).value(plain(p[rows]), labels[rows]) == pytest.approx(expected)


def test_classification_equals_torchmetrics() -> None:
    found = values(*table())
    for name, expected in TORCHMETRICS.items():
        assert found[name] == pytest.approx(expected, rel=1e-6), name


def test_the_frozen_values_are_those_of_torchmetrics() -> None:
    torch = pytest.importorskip("torch")
    module: Any = pytest.importorskip("torchmetrics.functional.classification")
    p, labels = (torch.tensor(item) for item in table())
    found = {
        "accuracy": module.multiclass_accuracy(p, labels, 7, average="micro"),
        "ece": module.multiclass_calibration_error(p, labels, 7, n_bins=15, norm="l1"),
        "mce": module.multiclass_calibration_error(p, labels, 7, n_bins=15, norm="max"),
    }
    assert {name: float(item) for name, item in found.items()} == pytest.approx(TORCHMETRICS, rel=1e-6)


def test_bins_are_half_open_with_float32_edges() -> None:
    edges = np.array([0.0, 1 / 15, 1 / 3, 0.2, 0.6, 1.0], np.float32)
    # the third edge is 3 * float32(1 / 15), above float32(0.2), as in torch.linspace
    assert equal_width_bins(edges).tolist() == [0, 1, 5, 2, 9, 15]
    below = np.nextafter(edges[[1, 2, 5]], np.float32(0.0))
    assert equal_width_bins(below).tolist() == [0, 4, 14]


def test_equal_mass_bins_hold_equal_counts_and_keep_ties_together() -> None:
    assert np.bincount(equal_mass_bins(np.random.default_rng(0).random(150))).tolist() == [10] * 15
    assert set(equal_mass_bins(np.array([0.5] * 20 + [0.7])).tolist()) == {0, 14}


def test_brier_is_the_sum_of_its_parts_where_forecasts_of_a_bin_are_equal() -> None:
    rng = np.random.default_rng(1)
    forecasts = np.array([[0.7, 0.2, 0.1], [0.1, 0.5, 0.4], [0.3, 0.3, 0.4]])
    p = forecasts[rng.integers(0, 3, 500)]
    found = values(p, rng.integers(0, 3, 500))
    parts = found["brier_reliability"] - found["brier_resolution"] + found["brier_uncertainty"]
    assert found["brier"] == pytest.approx(parts, rel=1e-12)
    assert 0.0 < found["brier_resolution"] < found["brier_reliability"] < found["brier_uncertainty"]


def test_aurc_by_hand_and_over_all_orders_of_ties() -> None:
    p = np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.4, 0.6]])
    assert values(p, np.array([0, 1, 1, 0]))["aurc"] == pytest.approx((0 + 1 / 2 + 1 / 3 + 2 / 4) / 4)
    tied = np.array([[0.9, 0.1], [0.8, 0.2], [0.8, 0.2]])
    orders = [(0 + 0 / 2 + 1 / 3) / 3, (0 + 1 / 2 + 1 / 3) / 3]
    assert values(tied, np.array([0, 0, 1]))["aurc"] == pytest.approx(np.mean(orders))
    coverage, risk = risk_coverage(plain(p), np.array([0, 1, 1, 0]))
    np.testing.assert_allclose(coverage, [0.25, 0.5, 0.75, 1.0])
    np.testing.assert_allclose(risk, [0.0, 1 / 2, 1 / 3, 1 / 2])


def test_uncertainties_by_hand() -> None:
    draws = np.array([[[1.0, 0.0]], [[0.5, 0.5]], [[0.0, 1.0]], [[0.2, 0.8]]], np.float32)
    found = {name: item.value for name, item in evaluate(of_draws(draws), None).items()}
    mean = draws.mean(axis=0)[0]
    entropy = -(mean * np.log(mean)).sum()
    expected = (math.log(2) - 0.2 * math.log(0.2) - 0.8 * math.log(0.8)) / 4
    assert set(found) == {"predictive_entropy", "expected_entropy", "mutual_information", "variation_ratio"}
    assert found["predictive_entropy"] == pytest.approx(entropy, rel=1e-6)
    assert found["expected_entropy"] == pytest.approx(expected, rel=1e-6)
    assert found["mutual_information"] == pytest.approx(entropy - expected, rel=1e-5)
    assert found["variation_ratio"] == 0.5  # the tie of the second draw is a vote for class 0


def test_auroc_equals_scikit_learn_and_delong() -> None:
    rng = np.random.default_rng(2)
    inside, outside = np.round(rng.normal(0.0, 1.0, 200), 1), np.round(rng.normal(0.7, 1.5, 120), 1)
    value, stderr = auroc(inside, outside)
    truth, scores = np.repeat([0, 1], [200, 120]), np.concatenate([inside, outside])
    assert value == pytest.approx(sk.roc_auc_score(truth, scores))
    again = [auroc(rng.choice(inside, 200), rng.choice(outside, 120))[0] for _ in range(400)]
    assert stderr == pytest.approx(np.std(again), rel=0.2)
    assert auroc(inside[:1], outside)[1] != auroc(inside[:1], outside)[1]  # NaN


def test_ood_examples_are_told_apart() -> None:
    sure, unsure = Classifier(80, 1, shared=0.8), Classifier(70, 2, shared=1.3)
    found = evaluate(sure.predict(0, 40), sure.labels, ood=unsure.predict(0, 40))
    item = found["ood_auroc_mutual_information"]
    assert item.value > 0.7
    assert 0.0 < item.data_stderr < 0.1
    assert 0.0 < item.mc_stderr < 0.1
    with pytest.raises(InputError, match="2 classes, the others 4"):
        evaluate(sure.predict(0, 40), sure.labels, ood=plain(np.full((3, 2), 0.5)))


def regression(examples: int = 300) -> tuple[ValuePredictions, AnyArray]:
    rng = np.random.default_rng(3)
    center = rng.normal(0.0, 2.0, (examples, 2))
    mean = (center + 0.3 * rng.normal(size=(50, examples, 2))).astype(np.float32)
    scale = rng.uniform(0.5, 1.5, mean.shape).astype(np.float32)
    targets = center + rng.normal(size=center.shape)
    return of_values(mean, scale, targets), targets


def test_regression_equals_scikit_learn_and_scoringrules() -> None:
    predictions, targets = regression()
    found = {name: item.value for name, item in evaluate(predictions, targets).items()}
    assert found["rmse"] == pytest.approx(math.sqrt(sk.mean_squared_error(targets, predictions.mean)), rel=1e-6)
    crps = scoringrules.crps_normal(targets, predictions.mean, predictions.stddev)
    assert found["crps"] == pytest.approx(float(np.mean(crps)), rel=1e-6)
    for level in (50, 90, 95):
        low, high = norm.interval(level / 100, predictions.mean, predictions.stddev)
        assert found[f"coverage_{level}"] == pytest.approx(np.mean((targets >= low) & (targets <= high)))
        assert found[f"width_{level}"] == pytest.approx(np.mean(high - low))
    assert predictions.log_likelihood is not None
    assert found["nll"] == pytest.approx(-predictions.log_likelihood.mean(dtype=np.float64))


def test_regression_without_scale_or_spread() -> None:
    mean = np.array([[[1.0], [2.0]]], np.float32)
    found = evaluate(of_values(mean, None, None), np.array([1.5, 2.0]))
    assert "nll" not in found
    assert found["crps"].value == pytest.approx(0.25)  # the absolute error
    assert found["coverage_95"].value == 0.5
    assert found["width_95"].value == 0.0
    perfect = evaluate(of_values(mean, None, None), np.array([1.0, 2.0]))
    assert (perfect["rmse"].value, perfect["rmse"].data_stderr) == (0.0, 0.0)


# Degenerate cases


def test_one_example_has_no_data_error() -> None:
    world = Classifier(1)
    for name, item in evaluate(world.predict(0, 40), world.labels).items():
        assert math.isfinite(item.value), name
        assert math.isnan(item.data_stderr), name
        assert math.isfinite(item.mc_stderr), name


def test_one_draw_has_no_mc_error() -> None:
    world = Classifier(30)
    for name, item in evaluate(world.predict(0, 1), world.labels).items():
        assert math.isfinite(item.value), name
        assert math.isnan(item.mc_stderr), name


def test_certain_and_right_or_wrong() -> None:
    p, labels = np.eye(3, dtype=np.float32)[[0, 1, 2, 1]], np.array([0, 1, 2, 1])
    right, wrong = values(p, labels), values(p, (labels + 1) % 3)
    assert {name: right[name] for name in ("accuracy", "nll", "brier", "ece", "mce", "ace", "aurc")} == {
        "accuracy": 1.0,
        "nll": 0.0,
        "brier": 0.0,
        "ece": 0.0,
        "mce": 0.0,
        "ace": 0.0,
        "aurc": 0.0,
    }
    assert wrong["nll"] == pytest.approx(-math.log(np.finfo(np.float32).tiny))
    assert (wrong["brier"], wrong["ece"], wrong["mce"], wrong["aurc"]) == (2.0, 1.0, 1.0, 1.0)


def test_one_class_among_the_labels() -> None:
    found = evaluate(Classifier(40).predict(0, 20), np.zeros(40, int))
    assert found["brier_uncertainty"].value == 0.0
    assert found["brier_resolution"].value == pytest.approx(0.0, abs=1e-12)
    assert all(math.isfinite(item.value) for item in found.values())


def test_ties_go_to_the_lowest_class() -> None:
    p = np.full((2, 2), 0.5)
    assert values(p, np.array([0, 1]))["accuracy"] == 0.5
    metric = top_k_accuracy(2)
    even = plain(np.full((3, 3), 1 / 3))
    assert metric.value(even, np.array([0, 1, 2])) == pytest.approx(2 / 3)
    assert not top_k_accuracy(3).applies(even)


def test_what_does_not_fit_is_refused() -> None:
    p, labels = table()
    with pytest.raises(UsageError, match="no metric 'acuracy' of a classification"):
        evaluate(plain(p), labels, names=["acuracy"])
    with pytest.raises(InputError, match="60 class numbers are needed"):
        evaluate(plain(p), labels[:-1])
    with pytest.raises(UsageError, match="at least 1 class; k is 0"):
        top_k_accuracy(0)
    with pytest.raises(UsageError, match=r"expected_entropy is of the shape \(59,\); \(60,\) fits"):
        ClassPredictions(p, np.zeros(59))
    with pytest.raises(UsageError, match="block_mean and block_draws come together"):
        ClassPredictions(p, np.zeros(60), block_mean=p[None])
    with pytest.raises(UsageError, match="takes the entropy of a classification"):
        evaluate(regression()[0], None, ood=plain(p))


@pytest.mark.parametrize("metric", [item for task in METRICS.values() for item in task.values()], ids=lambda m: m.name)
def test_every_metric_says_what_it_is(metric: Metric) -> None:
    assert choose_metrics(metric.task, [metric.name]) == (metric,)
    assert metric.title
    assert metric.unit in {"1", "nat", "target", "target^2"}
