"""The rank-sum test against SciPy, and its tail against the exact one."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from bprune.arrays import AnyArray, Float64Array
from bprune.errors import UsageError
from bprune.inference.rank_sum import MIN_DRAWS, detectable, midranks, normal_tail, rank_sum


def _score(rows: AnyArray) -> Float64Array:
    return rank_sum(np.asarray(rows, np.float64), np.zeros(rows.shape)).score


def test_midranks_are_those_of_scipy() -> None:
    rows = np.random.default_rng(1).integers(0, 9, (5, 40)).astype(np.float64)
    ranks, step = midranks(rows)
    np.testing.assert_array_equal(ranks, stats.rankdata(rows, axis=1))
    np.testing.assert_array_equal(step, [np.diff(np.unique(row)).max() for row in ranks])


def test_the_p_value_is_that_of_scipy_without_ties() -> None:
    rows = np.random.default_rng(2).normal(size=(4, 300))
    rows[1, :150] += 0.5
    expected = stats.mannwhitneyu(rows[:, :150], rows[:, 150:], axis=1, method="asymptotic").pvalue
    np.testing.assert_allclose(normal_tail(_score(rows)), expected, rtol=1e-9)


@pytest.mark.parametrize("draws", [MIN_DRAWS, 200])
def test_the_normal_tail_bounds_the_exact_one_without_ties(draws: int) -> None:
    """Down to p-values of 1e-12, and not by more than a factor of ten."""
    exact = np.cumsum(_law_of_the_rank_sum(draws))
    step = math.sqrt(draws * draws * (2 * draws + 1) / 12.0)
    score = np.maximum(draws * draws / 2.0 - np.arange(len(exact)) - 0.5, 0.0) / step
    bound = normal_tail(score) / 2.0
    relevant = (bound > 1e-12) & (bound < 0.05)
    ratio = np.asarray(exact[relevant] / bound[relevant], np.float64)
    assert 0.1 < ratio.min() < ratio.max() < 1.001


def _law_of_the_rank_sum(draws: int) -> AnyArray:
    """The exact law of Mann and Whitney's U for two samples of this size, from its generating function.

    Its coefficients are those of the Gaussian binomial, prod_i (1 - q^(n+i)) / (1 - q^i), over their sum.
    """
    law = np.zeros(draws * draws + 1, np.longdouble)
    law[0] = 1.0
    for number in range(1, draws + 1):
        above = draws + number
        law[above:] -= law[: max(len(law) - above, 0)].copy()
        for start in range(number):
            law[start::number] = np.cumsum(law[start::number])
        law *= number / np.longdouble(above)
    return law


@pytest.mark.parametrize("draws", [MIN_DRAWS, 1000])
def test_the_normal_tail_bounds_the_exact_one_with_two_values(draws: int) -> None:
    """The worst ties: `ones` of the values are 1, the others 0, and the statistic is hypergeometric."""
    worst = 0.0
    for ones in (8, 15, 20, 40, 60, 80, 100, draws):
        count = np.arange(ones // 2 + 1, ones + 1)
        rows = np.zeros((len(count), 2 * draws))
        for row, first in zip(rows, count, strict=True):
            row[:first] = 1.0
            row[draws : draws + ones - first] = 1.0
        bound = normal_tail(_score(rows)) / 2.0
        exact = stats.hypergeom.sf(count - 1, 2 * draws, ones, draws)
        relevant = (bound > 1e-12) & (bound < 0.05)
        worst = max(worst, float(np.max(exact[relevant] / bound[relevant], initial=0.0)))
    assert 0.5 < worst < 1.001


def test_slack_only_weakens_the_evidence() -> None:
    rows = np.random.default_rng(3).normal(size=(3, 400))
    rows[:, :200] += np.array([[0.0], [0.5], [-0.5]])
    scores = [rank_sum(rows, np.full(rows.shape, slack)).score for slack in (0.0, 0.1, 0.25, 10.0)]
    for first, second in itertools.pairwise(scores):
        assert (second <= first).all()
    assert scores[0][1] > 4.0
    assert (scores[-1] == 0.0).all()


def test_one_point_is_no_evidence() -> None:
    assert _score(np.ones((1, 400))).tolist() == [0.0]


def test_too_few_draws() -> None:
    with pytest.raises(UsageError, match="99 draws are too few"):
        _score(np.zeros((1, 198)))


def test_detectable_effects_shrink_with_the_draws_and_are_infinite_without() -> None:
    assert detectable(6.0, 0.1) == (math.inf, math.inf, math.inf)
    some, more = detectable(6.0, 0.02), detectable(6.0, 0.01)
    assert all(a > b for a, b in zip(some, more, strict=True))
    assert more[1] > 1.0
