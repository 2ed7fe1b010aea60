"""The binned density against scipy's, in closed form at the ends, and on hostile values."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import gaussian_kde, norm

from bprune.errors import UsageError
from bprune.plots import binned_density
from bprune.plots.density import GRID_POINTS

GRID = np.linspace(0.0, 1.0, GRID_POINTS)


@pytest.mark.parametrize(("a", "b"), [(20.0, 20.0), (12.0, 30.0)])
def test_the_interior_is_that_of_scipy(a: float, b: float) -> None:
    values = np.random.default_rng(0).beta(a, b, 400)
    expected = gaussian_kde(values, bw_method="scott")(GRID)
    found = binned_density(values[:, None])[0]
    np.testing.assert_allclose(found, expected, atol=0.01 * expected.max())


def test_a_known_distribution_is_found_at_its_ends_too() -> None:
    """Uniform values: the density is 1 everywhere, at 0 and 1 as well, where a plain estimate gives a half.

    The standard error at an end is sqrt(K / (n h)), K = 1 / sqrt(pi) with reflection: 0.06 here, so that 5 of them
    happen once in a million seeds.
    """
    values = np.random.default_rng(1).random(4000)
    found = binned_density(values[:, None])[0]
    assert np.abs(found - 1.0).max() < 0.3
    assert gaussian_kde(values)(0.0)[0] < 0.7  # the planted bug: no reflection


def test_every_density_integrates_to_one() -> None:
    rng = np.random.default_rng(2)
    series = [rng.beta(a, b, 50) for a, b in ((0.1, 0.1), (1.0, 30.0), (5.0, 2.0))]
    found = binned_density(np.stack(series, axis=1))
    np.testing.assert_allclose(np.sum((found[:, 1:] + found[:, :-1]) / 2.0, axis=1) / (GRID_POINTS - 1), 1.0)
    assert (found >= 0.0).all()


def test_equal_values_get_the_width_of_a_grid_step() -> None:
    found = binned_density(np.full((7, 1), 0.5))[0]
    np.testing.assert_allclose(found, norm.pdf(GRID, 0.5, 1 / (GRID_POINTS - 1)), atol=1e-6 * found.max())
    assert GRID[binned_density(np.ones((3, 1)))[0].argmax()] == 1.0


def test_a_smaller_width_shows_more_detail() -> None:
    """Two narrow peaks: Scott's width, made for one, smears them; a tenth of it resolves them."""
    rng = np.random.default_rng(4)
    values = np.concatenate([rng.normal(0.3, 0.01, 200), rng.normal(0.7, 0.01, 200)])[:, None]
    wide, narrow = binned_density(values)[0], binned_density(values, 0.1)[0]
    assert narrow.max() > 2.0 * wide.max()
    assert narrow[100] < 1e-3 * narrow.max()
    expected = gaussian_kde(values[:, 0], bw_method=0.1 * 400**-0.2)(GRID)
    np.testing.assert_allclose(narrow, expected, atol=0.03 * expected.max())
    with pytest.raises(UsageError, match="must be a number above 0"):
        binned_density(values, 0.0)


def test_series_do_not_mix_and_missing_draws_are_left_out() -> None:
    values = np.random.default_rng(3).random((30, 3))
    apart = np.concatenate([binned_density(values[:, [column]]) for column in range(3)])
    np.testing.assert_allclose(binned_density(values), apart, rtol=1e-9)
    longer = np.concatenate([values, np.full((5, 3), np.nan)])
    np.testing.assert_allclose(binned_density(longer), apart, rtol=1e-9)


def test_what_is_no_probability_is_refused() -> None:
    with pytest.raises(UsageError, match="outside of"):
        binned_density(np.array([[1.5]]))
    with pytest.raises(UsageError, match="at least one value"):
        binned_density(np.array([[np.nan]]))
