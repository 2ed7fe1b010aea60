"""The comparison of laws: its false-alarm rate, its power, and what it must not mistake for a difference."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.random import Generator
from scipy import stats

from bprune.arrays import AnyArray
from bprune.case.task import Task
from bprune.engines.base import Draws
from bprune.errors import SelfCheckError, UsageError
from bprune.inference.agreement import DRAWS_PER_EXAMPLE, SUM_FACTOR, Agreement, Kind, compare_laws
from bprune.inference.coordinates import coordinates

DRAWS = 200
EXPERIMENTS = 600
RATE = 0.05
FALSE_ALARM = 1e-6
"""Probability that one of the tests of rates below fails although the rate is as stated."""

Maker = Callable[[Generator], AnyArray]


def _normal(generator: Generator) -> AnyArray:
    return generator.normal(3.0, 0.5, (DRAWS, 2, 1))


def _point_masses(generator: Generator) -> AnyArray:
    """A third of the draws is one number up to rounding, another is 0; the rest is skewed."""
    masses = generator.choice([0.0, 7.0, 1.0], (DRAWS, 2, 2))
    return np.where(masses == 1.0, generator.exponential(1.0, masses.shape), masses)


def _heavy_tails(generator: Generator) -> AnyArray:
    """Cauchy numbers that all examples share."""
    return np.ones((1, 3, 1)) * generator.standard_cauchy((DRAWS, 1, 2))


def _saturated(generator: Generator) -> AnyArray:
    """Class probabilities of two well separated modes, mostly 0 and 1 up to 1e-9."""
    logits = 20.0 * generator.choice([-1.0, 1.0], (DRAWS, 2, 3), p=[0.2, 0.8]) + generator.normal(size=(DRAWS, 2, 3))
    return _softmax(logits)


def _rare(generator: Generator) -> AnyArray:
    """0 but for one draw in fifty."""
    return np.where(generator.random((DRAWS, 2, 2)) < 0.02, generator.normal(size=(DRAWS, 2, 2)), 0.0)


def _softmax(logits: AnyArray) -> AnyArray:
    odds = np.exp(logits - logits.max(-1, keepdims=True))
    return np.asarray(odds / odds.sum(-1, keepdims=True))


def _compare(first: AnyArray, second: AnyArray, task: Task = Task.REGRESSION, false_alarm: float = 1e-6) -> Agreement:
    sides = [Draws(np.asarray(item, np.float32)) for item in (first, second)]
    return compare_laws(sides[0], sides[1], task, false_alarm=false_alarm)


@pytest.mark.parametrize("make", [_normal, _point_masses, _heavy_tails, _saturated, _rare])
def test_the_false_alarm_rate_holds_whatever_the_law(make: Maker) -> None:
    """Fails with a probability of 1e-6 at most if the rate is 0.05: the binomial law of 600 experiments."""
    generator = np.random.default_rng(7)
    task = Task.CLASSIFICATION if make is _saturated else Task.REGRESSION
    alarms = sum(not _compare(make(generator), make(generator), task, RATE).agrees for _ in range(EXPERIMENTS))
    assert alarms <= stats.binom.isf(FALSE_ALARM, EXPERIMENTS, RATE)
    if make is _normal:  # the bound is not reached, but it is near: comparisons depend on each other but little
        assert alarms >= stats.binom.ppf(FALSE_ALARM, EXPERIMENTS, RATE / 2.0)


def test_the_rate_holds_where_examples_depend_on_each_other_in_one_engine_alone() -> None:
    """One coherent network for all examples against weights that each example draws anew: one law per example."""
    generator = np.random.default_rng(8)
    alarms = 0
    for _ in range(EXPERIMENTS // 2):
        shared = np.ones((1, 8, 1)) * generator.lognormal(size=(DRAWS, 1, 1))
        alarms += not _compare(shared, generator.lognormal(size=(DRAWS, 8, 1)), false_alarm=RATE).agrees
    assert 0 < alarms <= stats.binom.isf(FALSE_ALARM, EXPERIMENTS // 2, RATE)


def test_rounding_is_no_evidence_and_more_than_rounding_is() -> None:
    generator = np.random.default_rng(9)
    first, second = np.where(generator.random((2, DRAWS, 1, 1)) < 0.8, 7.0, generator.normal(7.0, 1.0))
    moved = second * (1.0 + 5e-6)
    assert stats.mannwhitneyu(first[:, 0, 0], moved[:, 0, 0]).pvalue < FALSE_ALARM  # what plain ranks would say
    assert _compare(first, moved).agrees
    constant = np.full((DRAWS, 1, 1), 2.0)
    assert _compare(constant, constant * (1.0 + 5e-6)).agrees
    assert not _compare(constant, constant * (1.0 + 5e-5)).agrees


def test_a_saturated_classifier_is_compared_by_log_odds() -> None:
    """Probabilities that differ from 1 by 1e-9 on one side and by 3e-9 on the other are equal in float32."""
    generator = np.random.default_rng(10)
    logits = generator.normal([0.0, 0.0, 20.0], 0.3, (DRAWS, 1, 3))
    moved = generator.normal([0.0, 1.0, 20.0], 0.3, (DRAWS, 1, 3))
    assert _softmax(logits)[..., 2].astype(np.float32).max() == 1.0
    result = _compare(_softmax(logits), _softmax(moved), Task.CLASSIFICATION)
    assert not result.agrees
    assert result.worst.describe().startswith("location of class")


def test_two_classes_whose_first_probability_is_one_minus_the_second() -> None:
    """A sigmoid near 1 leaves a few steps of float32: they are no evidence."""
    generator = np.random.default_rng(11)
    second: AnyArray = 1.0 - np.exp(generator.normal(-16.0, 0.05, (2, 1000, 1, 1))).astype(np.float32)
    sides: AnyArray = np.concatenate([np.float32(1.0) - second, second], axis=-1)
    sides[1] = np.concatenate([2.0**-24 * np.ones_like(second[1]), 1.0 - 2.0**-24 * np.ones_like(second[1])], axis=-1)
    assert _compare(sides[0], sides[1], Task.CLASSIFICATION).agrees
    assert coordinates(Draws(sides[0]), Draws(sides[1]), 0, Task.CLASSIFICATION, 1e-5).names == ("class 1",)


@pytest.mark.parametrize(
    ("change", "kind", "coordinate"),
    [
        (lambda x: x + np.array([0.0, 0.8, 0.0]), Kind.LOCATION, ("output 1",)),
        (lambda x: x * np.array([1.0, 1.0, 2.0]), Kind.SPREAD, ("output 2",)),
        (lambda x: x[..., [0, 0, 2]], Kind.CORRELATION, ("output 0", "output 1")),
    ],
)
def test_a_difference_in_one_example_is_found_and_named(
    change: Callable[[AnyArray], AnyArray], kind: Kind, coordinate: tuple[str, ...]
) -> None:
    generator = np.random.default_rng(12)
    first, second = generator.normal(size=(2, 500, 4, 3))
    second[:, 2] = change(second[:, 2])
    result = _compare(first, second)
    assert not result.agrees
    assert (result.worst.kind, result.worst.example, result.worst.coordinates) == (kind, 2, coordinate)
    assert result.comparisons == (4 + 1) * (3 + 3 + 3)


def test_another_scale_of_a_regression_is_named() -> None:
    generator = np.random.default_rng(13)
    means = generator.normal(size=(2, 300, 2, 1))
    scales = np.exp(generator.normal(size=(2, 300, 2, 1)))
    first, second = (Draws(means[side], scales[side] * (1.0 + side)) for side in (0, 1))
    result = compare_laws(first, second, Task.REGRESSION)
    assert not result.agrees
    assert result.worst.coordinates == ("scale of output 0",)


def test_a_small_difference_that_all_examples_share_is_found_in_the_sum() -> None:
    generator = np.random.default_rng(14)
    first, second = generator.normal(size=(2, 1000, 64, 2))
    same, other = _compare(first, second), _compare(first, second * [1.0, 1.15])
    assert same.agrees
    assert not other.agrees
    assert (other.worst.kind, other.worst.example, other.worst.coordinates) == (Kind.SPREAD, None, ("output 1",))
    assert "a sum over examples" in other.worst.describe()
    assert same.in_all_examples is not None
    assert same.in_all_examples.ratio < 1.12 < 1.3 < same.in_one_example.ratio


def test_correlations_of_either_sign_that_all_examples_lose_are_found_in_the_sum() -> None:
    generator = np.random.default_rng(17)
    first, second = generator.normal(size=(2, 1000, 32, 2))
    signs = np.where(np.arange(32) % 3 == 0, -0.25, 0.25)
    first[..., 1] += signs * first[..., 0]
    second[..., 1] *= np.sqrt(1.0 + 0.25**2)
    result = _compare(first, second)
    assert not result.agrees
    assert (result.worst.kind, result.worst.example) == (Kind.CORRELATION, None)
    assert result.in_one_example.correlation is not None
    assert result.in_one_example.correlation > 0.25


def test_groups_of_examples_are_bounded_by_the_draws() -> None:
    generator = np.random.default_rng(15)
    first, second = generator.normal(size=(2, 640, 25, 1))
    assert _compare(first, second).comparisons == 25 * 2 + 3 * 2  # 25 examples in 3 groups of at most 640 / 64
    few = _compare(first[:100], second[:100])
    assert few.comparisons == 25 * 2
    assert few.in_all_examples is None


@pytest.mark.parametrize("draws", [400, 1000, 4000])
def test_sums_keep_their_level_where_rare_draws_move_all_examples_of_one_engine(draws: int) -> None:
    """The exact probability of passing a score, over the binomial number of joint draws; what remains is normal."""
    examples, score = draws / DRAWS_PER_EXAMPLE, 6.3
    worst = 0.0
    for expected in (1, 5, 20, 50, 80, 120, 200, 300, 340, 380):
        share = expected / draws
        joint = np.arange(draws + 1) / draws
        shift = examples / 2.0 * (joint * (2.0 - share) + (1.0 - joint) * (1.0 - share) - 1.0)
        own = examples / 12.0 * (1.0 - share) ** 2
        found = examples / 12.0 + np.maximum(own + joint * (1.0 - joint) * (examples / 2.0) ** 2, examples / 12.0)
        passed = score * np.sqrt(found / draws)
        true = np.sqrt((examples / 12.0 + own) / draws)
        tails = stats.norm.sf((passed - shift) / true) + stats.norm.sf((passed + shift) / true)
        worst = max(worst, float(np.sum(stats.binom.pmf(np.arange(draws + 1), draws, share) * tails)))
    assert 1.0 < worst / (2.0 * stats.norm.sf(score)) < SUM_FACTOR


@pytest.mark.parametrize("kind", list(Kind))
def test_what_is_said_to_be_detectable_is_detected(kind: Kind) -> None:
    """95 % of 300 experiments, within the binomial law's 1e-6 on either side, and what is smaller is found less."""
    generator = np.random.default_rng(16)
    effects = _compare(*generator.normal(size=(2, 400, 1, 2))).in_one_example
    correlation = effects.correlation or 0.0
    assert correlation > 0.0

    def found(part: float) -> int:
        count = 0
        for _ in range(300):
            first, second = generator.normal(size=(2, 400, 1, 2))
            if kind is Kind.LOCATION:
                second[..., 0] += part * effects.shift
            elif kind is Kind.SPREAD:
                second[..., 0] *= effects.ratio**part
            else:
                share = part * correlation
                second[..., 0] = share * second[..., 1] + np.sqrt(1.0 - share**2) * second[..., 0]
            count += not _compare(first, second).agrees
        return count

    assert stats.binom.ppf(FALSE_ALARM, 300, 0.93) <= found(1.0)
    assert found(0.5) <= 150


@pytest.mark.parametrize(
    ("first", "second", "false_alarm", "message"),
    [
        ((99, 1, 1), (99, 1, 1), 0.1, "99 draws are too few"),
        ((200, 1, 1), (201, 1, 1), 0.1, "must be the same"),
        ((200, 0, 1), (200, 0, 1), 0.1, "no example"),
        ((200, 1, 1), (200, 1, 1), 0.0, "between 0 and 1"),
        ((200, 1, 1), (200, 1, 1), float("nan"), "between 0 and 1"),
    ],
)
def test_what_cannot_be_compared(
    first: tuple[int, ...], second: tuple[int, ...], false_alarm: float, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        _compare(np.zeros(first), np.zeros(second), false_alarm=false_alarm)


def test_values_that_are_not_finite() -> None:
    bad = np.zeros((200, 1, 1))
    bad[3] = np.nan
    with pytest.raises(SelfCheckError, match="not finite"):
        _compare(np.zeros((200, 1, 1)), bad)


def test_log_odds_are_those_of_float64() -> None:
    values = np.random.default_rng(18).normal(0.0, 8.0, (200, 1, 5))
    exact = values - np.stack(
        [np.logaddexp.reduce(np.delete(values, number, axis=2), axis=2) for number in range(5)], axis=2
    )
    draws = Draws(_softmax(values).astype(np.float32))
    found = coordinates(draws, draws, 0, Task.CLASSIFICATION, 1e-5)
    np.testing.assert_allclose(found.values[:, :200].T, exact[:, 0], atol=1e-5, rtol=1e-6)
    assert (found.slack >= np.abs(found.values) * 1e-5).all()


def test_of_many_outputs_some_are_compared() -> None:
    values = np.zeros((100, 1, 1000), np.float32)
    names = coordinates(Draws(values), Draws(values), 0, Task.REGRESSION, 1e-5).names
    assert len(names) == 256
    assert (names[0], names[-1]) == ("output 0", "output 999")
