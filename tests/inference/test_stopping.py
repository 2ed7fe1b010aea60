"""Rules for stopping: their error rates when one looks all the time, and that early looks pay."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from bprune.arrays import AnyArray, FloatArray
from bprune.case.task import Task
from bprune.errors import UsageError
from bprune.inference.spread import Spread
from bprune.inference.stopping import SequentialTest, StderrTest, Stopping, TopClassTest, looks

SEQUENCES = 2000
ALPHA = 0.05
FALSE_ALARM = 1e-6
"""Probability, at most, that a test of an error rate fails although the rate is ALPHA."""

MOST_ERRORS = int(stats.binom.isf(FALSE_ALARM, SEQUENCES, ALPHA))
LARGEST = 1000

Draw = Callable[[int], FloatArray]


def settle(test: SequentialTest, draw: Draw, values: int, largest: int = LARGEST) -> tuple[AnyArray, AnyArray]:
    """The numbers of draws after which sequences are settled, 0 where they never are, and the classes that led."""
    spread, made = Spread.start(SEQUENCES, values), 0
    counts, classes = np.zeros(SEQUENCES, np.int64), np.zeros(SEQUENCES, np.int64)
    for number, look in enumerate(looks(largest), start=1):
        draws = draw(look - made)
        made, spread, test = look, spread.update(draws), test.update(draws)
        test, ends = test.look(spread, number)
        new = ends & (counts == 0)
        counts[new], classes[new] = look, np.argmax(spread.mean[new], axis=-1)
    return counts, classes


class ZTest:
    """The planted bug: at each look a z-test of the two classes that lead, as if it were the only one."""

    def update(self, values: FloatArray) -> ZTest:
        return self

    def look(self, spread: Spread, number: int) -> tuple[ZTest, AnyArray]:
        first, second = np.sort(spread.mean, axis=-1)[:, :-3:-1].T
        order = np.argsort(spread.mean, axis=-1)[:, :-3:-1]
        deviation = np.take_along_axis(spread.observed()[0], order, axis=-1).sum(axis=-1)
        return self, (first - second) * np.sqrt(spread.draws) > stats.norm.isf(ALPHA) * deviation

    def take(self, rows: AnyArray) -> ZTest:
        return self


class PlugIn:
    """The planted bug: the estimated standard error, as if it were known."""

    def __init__(self, target: float) -> None:
        self.target = target

    def update(self, values: FloatArray) -> PlugIn:
        return self

    def look(self, spread: Spread, number: int) -> tuple[PlugIn, AnyArray]:
        return self, np.asarray((spread.deviations()[1] <= self.target).all(axis=-1))

    def take(self, rows: AnyArray) -> PlugIn:
        return self


def near_tie(classes: int, seed: int) -> Draw:
    """Probabilities whose last class is best by a hair."""
    rng = np.random.default_rng(seed)
    concentration = np.full(classes, 0.2)
    concentration[:2] = 2.0
    concentration[-1] = 2.001
    return lambda draws: rng.dirichlet(concentration, size=(draws, SEQUENCES)).astype(np.float32)


def rare_reversal(seed: int) -> Draw:
    """The first class leads a little in 19 of 20 draws; the second is certain in the others, and best on the whole."""
    rng = np.random.default_rng(seed)

    def draw(draws: int) -> FloatArray:
        is_rare = rng.random((draws, SEQUENCES)) < 0.05
        first = np.where(is_rare, 0.0, 0.526)  # 0.95 * 0.526 = 0.4997
        return np.stack([first, 1.0 - first], axis=-1).astype(np.float32)

    return draw


BOUNDARIES = {"2": (near_tie(2, 1), 2), "4": (near_tie(4, 2), 4), "rare": (rare_reversal(3), 2)}


def test_looks_are_at_fixed_numbers_and_end_at_the_largest() -> None:
    assert list(looks(100)) == [8, 12, 16, 24, 32, 48, 64, 96, 100]
    assert list(looks(96)) == [8, 12, 16, 24, 32, 48, 64, 96]
    assert list(looks(3)) == [3]
    assert not any(number % 2 for number in looks(4000))


@pytest.mark.parametrize("name", BOUNDARIES)
def test_the_wrong_class_is_announced_rarely_however_often_one_looks(name: str) -> None:
    draw, classes = BOUNDARIES[name]
    counts, announced = settle(TopClassTest.start(SEQUENCES, classes, ALPHA), draw, classes)
    assert np.sum((counts > 0) & (announced != classes - 1)) <= MOST_ERRORS


@pytest.mark.parametrize("name", BOUNDARIES)
def test_a_repeated_z_test_is_found_out(name: str) -> None:
    draw, classes = BOUNDARIES[name]
    counts, announced = settle(ZTest(), draw, classes)
    assert np.sum((counts > 0) & (announced != classes - 1)) > MOST_ERRORS


def test_clear_cases_end_early_and_right() -> None:
    rng = np.random.default_rng(4)
    concentration = np.array([0.2, 9.0, 0.3, 0.5])
    counts, announced = settle(
        TopClassTest.start(SEQUENCES, 4, 0.01),
        lambda draws: rng.dirichlet(concentration, size=(draws, SEQUENCES)).astype(np.float32),
        4,
    )
    assert (announced == 1).all()
    assert np.quantile(counts, 0.95) <= 24


def test_capital_does_not_grow_on_average_where_the_leader_is_not_better() -> None:
    """The martingale itself: classes with equal means, a bet on one of them. 5 standard errors: 6e-7."""
    rng = np.random.default_rng(5)
    test = TopClassTest(
        ALPHA, np.zeros((SEQUENCES, 2)), np.zeros((SEQUENCES, 2), bool), np.zeros(SEQUENCES, int), STAKES
    )
    values = rng.beta(0.5, 0.5, (8, SEQUENCES))
    capital = np.exp(test.update(np.stack([values, 1.0 - values], axis=-1).astype(np.float32)).log_capital)
    assert (capital[:, 0] == 1.0).all(), "nothing is bet on the leader against itself"
    assert abs(capital[:, 1].mean() - 1.0) < 5.0 * capital[:, 1].std() / np.sqrt(SEQUENCES)
    assert capital[:, 1].std() > 0.2


STAKES = np.broadcast_to([0.0, 0.3], (SEQUENCES, 2))


def rare_event(seed: int) -> Draw:
    """A probability that is 0 in 49 of 50 draws, else 1."""
    rng = np.random.default_rng(seed)
    return lambda draws: (rng.random((draws, SEQUENCES, 1)) < 0.02).astype(np.float32)


def wrong_stderr(test: SequentialTest, draw: Draw, deviation: float, target: float) -> int:
    """In how many sequences the true standard error is too large when they end."""
    counts, _ = settle(test, draw, 1)
    assert np.mean(counts > 0) > 0.5
    return int(np.sum((counts > 0) & (deviation > target * np.sqrt(np.maximum(counts, 1)))))


def test_the_standard_error_of_a_probability_is_met() -> None:
    deviation = float(np.sqrt(0.02 * 0.98))
    assert wrong_stderr(StderrTest(0.012, ALPHA, True), rare_event(6), deviation, 0.012) <= MOST_ERRORS
    assert wrong_stderr(PlugIn(0.012), rare_event(6), deviation, 0.012) > 5 * MOST_ERRORS


def test_the_standard_error_of_a_normal_output_is_met() -> None:
    def normal(draws: int) -> FloatArray:
        return rng.normal(-2.0, 3.0, (draws, SEQUENCES, 1)).astype(np.float32)

    rng = np.random.default_rng(7)
    assert wrong_stderr(StderrTest(0.3, ALPHA, False), normal, 3.0, 0.3) <= MOST_ERRORS
    assert wrong_stderr(PlugIn(0.3), normal, 3.0, 0.3) > 5 * MOST_ERRORS


def test_an_output_without_noise_is_settled_at_once() -> None:
    counts, _ = settle(StderrTest(1e-9, ALPHA, False), lambda draws: np.ones((draws, SEQUENCES, 1), np.float32), 1)
    assert (counts == 8).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"max_mc_iters": 0}, "at least 1"),
        ({"target_stderr": 0.0}, "above 0"),
        ({"target_stderr": float("nan")}, "above 0"),
        ({"alpha": 1.0}, "between 0 and 1"),
    ],
)
def test_numbers_out_of_range_are_refused(arguments: dict[str, float], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Stopping(**arguments)  # type: ignore[arg-type]


def test_a_regression_has_no_class_to_settle() -> None:
    with pytest.raises(UsageError, match="no top class") as caught:
        Stopping().check(Task.REGRESSION)
    assert "--target-stderr" in str(caught.value.hint)
    Stopping(target_stderr=0.1).check(Task.REGRESSION)
