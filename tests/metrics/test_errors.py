"""The stated errors of metrics are as large as the real ones.

Every test fixes its seeds. Bounds of ratios of variances follow from F laws with a false-alarm rate of 1e-6 for each
metric; metrics that jump (accuracy, calibration errors) are allowed to be off by a factor of two in variance besides.
The planted bugs are errors that are wrong in a way that has been seen: the jackknife that leaves out one block, a
factor that is forgotten.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import f

from bprune.arrays import AnyArray, Float64Array
from bprune.case.task import Task
from bprune.metrics import METRICS, ClassPredictions, Estimate, evaluate, evaluate_difference
from bprune.metrics.base import data_stderr
from bprune.metrics.blocks import BLOCKS, SIGNS, Halves, block_draws, block_of
from tests.metrics.metric_worlds import Classifier, of_draws, of_values, plain

FALSE_ALARM = 1e-6
SMOOTH = ("nll", "brier", "predictive_entropy", "mutual_information", "variation_ratio", "aurc")
JUMPING = ("accuracy", "ece", "brier_reliability")
ALL = METRICS[Task.CLASSIFICATION]


def within(ratio: float, freedom: tuple[int, int], slack: float = 1.0) -> bool:
    """Whether a ratio of estimated to true variance is what chance and some slack explain."""
    low, high = f.ppf([FALSE_ALARM / 2, 1 - FALSE_ALARM / 2], *freedom)
    return bool(low / slack < ratio < high * slack)


# Blocks and halves


def test_halves_are_balanced_and_independent() -> None:
    assert SIGNS.shape == (BLOCKS - 1, BLOCKS)
    assert not SIGNS.sum(axis=1).any()
    np.testing.assert_array_equal(SIGNS @ SIGNS.T, BLOCKS * np.eye(BLOCKS - 1))


@pytest.mark.parametrize("paired", [False, True])
@pytest.mark.parametrize("mc_iters", [1, 2, 8, 12, 20, 38, 46, 400])
def test_block_counts_follow_from_draw_numbers(mc_iters: int, paired: bool) -> None:
    mc_iters += mc_iters % 2 if paired else 0
    expected = np.bincount([block_of(draw, paired=paired) for draw in range(mc_iters)], minlength=BLOCKS)
    np.testing.assert_array_equal(block_draws(np.array([mc_iters]), paired=paired)[:, 0], expected)


@pytest.mark.parametrize("draws", [[2], [7], [23], [100], [8, 12, 64, 400], [1, 50]])
def test_halves_are_exact_for_means_whatever_the_numbers_of_draws(draws: list[int]) -> None:
    """The expected variance is known in closed form: weights times independent draws of variance 1."""
    counts = block_draws(np.array(draws))
    halves = Halves.of(counts)
    variance = np.zeros(len(draws))
    for number in range(len(SIGNS)):
        one, other = halves.weights(number)
        assert (one >= 0.0).all()
        assert (other >= 0.0).all()
        np.testing.assert_allclose(one.sum(axis=0), 1.0)
        step = halves.scale / 2.0 * (one - other)
        variance += np.sum(np.square(step) / np.maximum(counts, 1), axis=0) / BLOCKS
    expected = [1.0 / count if count > 1 else 0.0 for count in draws]
    np.testing.assert_allclose(variance, expected, rtol=1e-9, atol=1e-12)


def test_one_draw_has_no_halves() -> None:
    assert math.isnan(Halves.of(block_draws(np.array([1, 1]))).scale)


def test_the_mc_error_of_a_mean_is_that_of_its_block_means() -> None:
    world = Classifier(50)
    predictions = world.predict(0, 100)
    assert predictions.block_expected_entropy is not None
    expected = predictions.block_expected_entropy.mean(axis=1, dtype=np.float64).std(ddof=1) / math.sqrt(BLOCKS)
    assert evaluate(predictions, None)["expected_entropy"].mc_stderr == pytest.approx(expected, rel=1e-5)


# Finite draws


@pytest.fixture(scope="module")
def world() -> Classifier:
    return Classifier(100)


@pytest.fixture(scope="module")
def true_variances(world: Classifier) -> dict[str, float]:
    """The variance over 150 runs of 40 draws."""
    names = (*SMOOTH, *JUMPING)
    runs = [[ALL[name].value(world.predict(seed, 40), world.labels) for name in names] for seed in range(150)]
    return dict(zip(names, np.var(runs, axis=0, ddof=1), strict=True))


@pytest.fixture(scope="module")
def estimates(world: Classifier) -> list[dict[str, Estimate]]:
    """The estimates of 40 runs."""
    return [evaluate(world.predict(seed, 40), world.labels, names=(*SMOOTH, *JUMPING)) for seed in range(300, 340)]


@pytest.mark.parametrize("name", [*SMOOTH, *JUMPING])
def test_mc_errors_are_those_of_runs(
    name: str, true_variances: dict[str, float], estimates: list[dict[str, Estimate]]
) -> None:
    found = float(np.mean([np.square(item[name].mc_stderr) for item in estimates]))
    slack = 2.0 if name in JUMPING else 1.2
    assert within(found / true_variances[name], (19 * 40, 149), slack), found / true_variances[name]
    forgotten = found * BLOCKS  # the spread of halves is not that of blocks
    assert not within(forgotten / true_variances[name], (19 * 40, 149), slack)


def test_leaving_out_one_block_would_be_wrong(world: Classifier, true_variances: dict[str, float]) -> None:
    """The planted bug: the delete-one-block jackknife, right for means and not for what jumps."""

    def jackknife(seed: int, name: str) -> float:
        draws, metric = world.draws(seed, 40), ALL[name]
        blocks = np.arange(40) % BLOCKS
        whole = metric.value(plain(draws.mean(axis=0)), world.labels)
        without = [metric.value(plain(draws[blocks != b].mean(axis=0)), world.labels) for b in range(BLOCKS)]
        return (BLOCKS - 1) / BLOCKS * float(np.sum(np.square(np.array(without) - whole)))

    for name, is_right in (("nll", True), ("accuracy", False), ("ece", False)):
        found = float(np.mean([jackknife(seed, name) for seed in range(300, 340)]))
        slack = 2.0 if name in JUMPING else 1.2
        assert within(found / true_variances[name], (19 * 40, 149), slack) == is_right, name


def test_regression_mc_errors_are_those_of_runs() -> None:
    rng = np.random.default_rng(5)
    center, direction = rng.normal(0.0, 1.0, (80, 1)), rng.normal(0.0, 1.0, (80, 1))
    targets = center + 0.5 * rng.normal(size=(80, 1))
    names = ("rmse", "nll", "crps", "width_90")

    def run(seed: int) -> dict[str, Estimate]:
        noise = np.random.default_rng(seed).normal(size=(40, 1, 1))
        mean = (center + 0.4 * noise * direction).astype(np.float32)
        scale = np.float32(0.5) * np.exp(0.3 * noise + 0.0 * mean).astype(np.float32)
        return evaluate(of_values(mean, scale, targets), targets, names=names)

    runs = [run(seed) for seed in range(60)]
    for name in names:
        truth = np.var([item[name].value for item in runs], ddof=1)
        found = np.mean([item[name].mc_stderr ** 2 for item in runs])
        assert within(float(found / truth), (19 * 60, 59), 1.3), (name, found / truth)


# Finite data


def sample(rng: np.random.Generator, examples: int) -> tuple[ClassPredictions, AnyArray]:
    """A classifier that is too sure of itself, and some examples."""
    logits = rng.normal(0.0, 1.5, (examples, 4))
    p = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    labels = (p.cumsum(axis=-1) < rng.random((examples, 1))).sum(axis=-1)
    sharp = p**1.6 / (p**1.6).sum(axis=-1, keepdims=True)
    return plain(sharp), np.minimum(labels, 3)


DATA_NAMES = ("accuracy", "nll", "brier", "brier_reliability", "brier_resolution", "ece", "ace", "aurc")


@pytest.fixture(scope="module")
def data_runs() -> dict[str, tuple[Float64Array, Float64Array]]:
    """Values and stated variances of 300 data sets of 400 examples, by metric."""
    rng = np.random.default_rng(6)
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in DATA_NAMES}
    for _ in range(300):
        predictions, labels = sample(rng, 400)
        for name in DATA_NAMES:
            metric = ALL[name]
            error = data_stderr(metric.influence(predictions, labels))
            found[name].append((metric.value(predictions, labels), error**2))
    return {name: (np.array([a for a, _ in items]), np.array([b for _, b in items])) for name, items in found.items()}


@pytest.mark.parametrize("name", DATA_NAMES)
def test_data_errors_are_those_of_data_sets(name: str, data_runs: dict[str, tuple[Float64Array, Float64Array]]) -> None:
    values, stated = data_runs[name]
    ratio = float(stated.mean() / values.var(ddof=1))
    slack = 1.5 if name.startswith("brier_") or name in {"ece", "ace"} else 1.1
    assert within(ratio, (10**6, 299), slack), ratio
    assert not within(ratio * 4.0, (10**6, 299), slack)  # planted: the standard deviation of half the examples


SMOOTH_INFLUENCES = [name for name in DATA_NAMES if name != "ace"] + ["brier_uncertainty"]


@pytest.mark.parametrize("name", SMOOTH_INFLUENCES)
def test_influences_are_what_leaving_an_example_out_does(name: str) -> None:
    predictions, labels = sample(np.random.default_rng(7), 400)
    metric = ALL[name]
    influence = metric.influence(predictions, labels)
    assert influence.mean() == pytest.approx(0.0, abs=1e-9)
    whole, rows = metric.value(predictions, labels), np.arange(400)
    left_out = [399 * (whole - metric.value(predictions.take(rows[rows != j]), labels[rows != j])) for j in range(400)]
    correlation = np.corrcoef(left_out, influence)[0, 1]
    assert correlation > 0.98, correlation
    assert np.std(left_out) == pytest.approx(np.std(influence), rel=0.1)


# Differences


def test_a_run_does_not_differ_from_itself(world: Classifier) -> None:
    predictions = world.predict(0, 40)
    for name, item in evaluate_difference(predictions, predictions, world.labels).items():
        assert item.value == 0.0, name
        assert item.mc_stderr == 0.0, name
        shares = name in {"accuracy", "top5_accuracy"}
        assert item.data_stderr == pytest.approx(1.0 / 102 if shares else 0.0), name


def test_common_random_numbers_make_differences_precise(world: Classifier) -> None:
    first = world.predict(0, 40)
    same = evaluate_difference(first, world.predict(0, 40, bias=0.1), world.labels)["nll"]
    other = evaluate_difference(first, world.predict(1, 40, bias=0.1), world.labels)["nll"]
    own = evaluate(first, world.labels)["nll"]
    assert same.mc_stderr < 0.3 * own.mc_stderr
    assert other.mc_stderr == pytest.approx(own.mc_stderr * math.sqrt(2.0), rel=0.5)
    assert same.data_stderr < 0.3 * own.data_stderr


@pytest.mark.parametrize("common", [True, False])
def test_mc_errors_of_differences_are_those_of_runs(world: Classifier, common: bool) -> None:
    def run(seed: int) -> Estimate:
        first, second = world.predict(seed, 40), world.predict(seed + (0 if common else 5000), 40, bias=0.5)
        return evaluate_difference(first, second, world.labels, names=["nll"])["nll"]

    runs = [run(seed) for seed in range(50)]
    truth = np.var([item.value for item in runs], ddof=1)
    found = np.mean([item.mc_stderr**2 for item in runs])
    assert within(float(found / truth), (19 * 50, 49), 1.2), found / truth


def test_a_longer_run_is_compared_with_a_shorter_one(world: Classifier) -> None:
    item = evaluate_difference(world.predict(0, 60), world.predict(1, 27), world.labels)["nll"]
    assert 0.0 < item.mc_stderr < 1.0
    without = evaluate_difference(world.predict(0, 60), plain(world.predict(1, 27).mean), world.labels)["nll"]
    assert math.isnan(without.mc_stderr)


def test_the_mean_of_draws_is_that_of_the_blocks(world: Classifier) -> None:
    draws = world.draws(0, 47)
    predictions = of_draws(draws)
    one, other = next(iter(predictions.halves()))
    np.testing.assert_allclose((one.mean + other.mean) / 2.0, draws.mean(axis=0), atol=1e-6)
