"""Upper confidence bounds: known values, and how often the truth lies above them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import binom, norm

from bprune.judgement.bounds import paired_proportion_bound, upper_bound
from bprune.metrics import ClassPredictions, Estimate, evaluate_difference

REPEATS = 3000


def _above(misses: int, repeats: int, rate: float) -> bool:
    """Whether so many misses happen with a probability below 1e-6 where each has the stated rate."""
    return bool(binom.sf(misses - 1, repeats, rate) < 1e-6)


def test_without_a_change_the_bound_is_not_0() -> None:
    z = norm.isf(0.05)
    assert paired_proportion_bound(0, 0, 360, 0.05) == pytest.approx(z**2 / (360 + z**2), rel=1e-6)


@pytest.mark.parametrize(("lost", "won", "examples"), [(1, 0, 44), (5, 2, 300), (40, 31, 200)])
def test_the_bound_is_where_the_score_statistic_is_z(lost: int, won: int, examples: int) -> None:
    """The constrained maximum of the likelihood is found by brute force here."""
    bound = paired_proportion_bound(lost, won, examples, 0.025)
    share = np.linspace(1e-9, (1.0 - bound) / 2.0 - 1e-9, 2_000_001)  # of what is won; lost is this plus the bound
    same = examples - lost - won
    likelihood = lost * np.log(share + bound) + won * np.log(share) + same * np.log(1.0 - 2.0 * share - bound)
    best = float(share[np.argmax(likelihood)])
    variance = examples * (2.0 * best + bound - bound**2)
    assert (examples * bound - lost + won) / math.sqrt(variance) == pytest.approx(norm.isf(0.025), rel=1e-4)


def test_the_bound_grows_with_what_was_lost_and_falls_with_what_was_won() -> None:
    bounds = [paired_proportion_bound(lost, 3, 500, 0.05) for lost in range(0, 500, 7)]
    assert bounds == sorted(bounds)
    assert paired_proportion_bound(3, 3, 500, 0.05) < paired_proportion_bound(30, 30, 500, 0.05)
    assert paired_proportion_bound(500, 0, 500, 0.05) == 1.0


@pytest.mark.parametrize(("lost", "won"), [(0.008, 0.0), (0.01, 0.004), (0.1, 0.08)])
def test_the_true_difference_is_rarely_above_the_score_bound(lost: float, won: float) -> None:
    """At most 1.3 times the stated rate, as is known of score intervals; a false alarm has a probability below 1e-6."""
    generator = np.random.default_rng(5)
    counts = generator.multinomial(360, [lost, won, 1.0 - lost - won], REPEATS)
    misses = {"score": 0, "wald": 0}
    for (a, b, _), times in zip(*np.unique(counts, axis=0, return_counts=True), strict=True):
        misses["score"] += int(times) * (paired_proportion_bound(a, b, 360, 0.05) < lost - won)
        d = (a - b) / 360
        misses["wald"] += int(times) * (d + 1.645 * math.sqrt(((a + b) / 360 - d**2) / 360) < lost - won)
    assert not _above(misses["score"], REPEATS, 1.3 * 0.05)
    if won == 0.0:  # the planted bug: a plain standard error, 0 where nothing changed
        assert _above(misses["wald"], REPEATS, 1.3 * 0.05)


def _bounds(generator: np.random.Generator, *, drawn: bool) -> list[float]:
    """Bounds of a worsening of 0, with noise from 400 examples and 20 blocks of draws."""
    found = []
    for _ in range(REPEATS):
        data, draws = generator.standard_normal(400), generator.standard_normal(20)
        value = data.mean() + 0.3 * draws.mean()
        stderr = 0.3 * draws.std(ddof=1) / math.sqrt(20) if drawn else 0.0
        estimate = Estimate(float(value), float(data.std(ddof=1) / 20.0), float(stderr))
        found.append(upper_bound(estimate, 400, 20, 0.05))
    return found


def test_data_and_draws_together_have_the_stated_rate() -> None:
    """A false alarm has a probability below 1e-6; the bound is not far too wide either."""
    misses = sum(bound < 0.0 for bound in _bounds(np.random.default_rng(7), drawn=True))
    assert not _above(misses, REPEATS, 1.1 * 0.05)
    assert binom.cdf(misses, REPEATS, 0.6 * 0.05) > 1e-6


def test_leaving_out_the_error_of_draws_is_noticed() -> None:
    misses = sum(bound < 0.0 for bound in _bounds(np.random.default_rng(7), drawn=False))
    assert _above(misses, REPEATS, 1.1 * 0.05)


@pytest.mark.parametrize(
    ("lost", "won", "examples"), [(0, 0, 60), (5, 2, 300), (2, 5, 300), (300, 0, 300), (40, 40, 90)]
)
def test_a_share_takes_its_counts_from_the_standard_error(lost: int, won: int, examples: int) -> None:
    """Accuracy as `evaluate_difference` tells it, and no error of draws."""
    labels = np.zeros(examples, np.int64)
    right, wrong = [0.9, 0.1], [0.1, 0.9]
    first = np.array([right] * lost + [wrong] * won + [right] * (examples - lost - won))
    second = np.array([wrong] * lost + [right] * won + [right] * (examples - lost - won))
    before, after = (ClassPredictions(item, np.zeros(examples)) for item in (first, second))
    change = evaluate_difference(before, after, labels)
    worsening = Estimate(-change["accuracy"].value, change["accuracy"].data_stderr, 0.0)
    found = upper_bound(worsening, examples, 20, 0.05, is_proportion=True)
    assert found == pytest.approx(paired_proportion_bound(lost, won, examples, 0.05))


def test_an_unknown_error_bounds_nothing() -> None:
    for estimate in (Estimate(0.0, math.nan, 0.1), Estimate(0.0, 0.1, math.nan)):
        assert upper_bound(estimate, 100, 20, 0.05) == math.inf
    assert upper_bound(Estimate(0.0, 0.1, 0.1), 1, 20, 0.05) == math.inf
    assert upper_bound(Estimate(0.0, 0.1, 0.1), 100, 1, 0.05) == math.inf
