"""Native noise: its law and its independence, each with a stated false-alarm rate and a planted bug that is noticed."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy import special, stats

from bprune.arrays import AnyArray
from bprune.engines.native.noise import standard_noise, unit_noise
from bprune.lowering.weights import Stream

ALARM = 1e-6
"""Probability that one test of numbers of the right law fails; seeds are fixed."""
MANY, SIDE = 10_000_000, 1 << 10


def normals(count: int, *, seed: int = 3, draw: int = 5, name: str = "a/kernel") -> AnyArray:
    return standard_noise(seed, Stream(name, 0, count), "Normal", np.arange(count), draw)


def units(count: int, draws: range) -> AnyArray:
    """Noise of units, `[draw, place, unit]`."""
    return np.stack([unit_noise(3, "a/kernel#0", np.arange(count), draw) for draw in draws])


def fits(numbers: AnyArray, distribution: Callable[[AnyArray], AnyArray]) -> bool:
    """Kolmogorov and Smirnov's test at the rate ALARM."""
    found = distribution(np.sort(numbers).astype(np.float64))
    steps = np.arange(numbers.size + 1) / numbers.size
    distance = max(np.max(found - steps[:-1]), np.max(steps[1:] - found))
    return bool(stats.kstwobign.sf(distance * np.sqrt(numbers.size)) > ALARM)


def moments_fit(numbers: AnyArray) -> bool:
    """The first four moments of a standard normal, each two-sided at the rate ALARM / 4."""
    wide = numbers.astype(np.float64)
    variances = {1: 1.0, 2: 2.0, 3: 15.0, 4: 96.0}
    expected = {1: 0.0, 2: 1.0, 3: 0.0, 4: 3.0}
    bound = stats.norm.isf(ALARM / 8)
    scores = [abs(np.mean(wide**k) - expected[k]) / np.sqrt(variances[k] / wide.size) for k in expected]
    return bool(max(scores) < bound)


def tails_fit(numbers: AnyArray) -> bool:
    """The counts beyond 3, 4, 4.5 and 5 on either side, binomial, each at the rate ALARM / 8."""
    for level in (3.0, 4.0, 4.5, 5.0):
        for side in (numbers, -numbers):
            test = stats.binomtest(int(np.count_nonzero(side > level)), numbers.size, float(stats.norm.sf(level)))
            if test.pvalue < ALARM / 8:
                return False
    return True


def are_independent(first: AnyArray, second: AnyArray) -> bool:
    """No correlation of numbers, squares, or numbers with squares, each two-sided at the rate ALARM / 4."""
    bound = stats.norm.isf(ALARM / 8) / np.sqrt(first.size)
    one, two = (item.astype(np.float64).reshape(-1) for item in (first, second))
    pairs = [(one, two), (one**2, two**2), (one, two**2), (one**2, two)]
    return all(abs(np.corrcoef(*pair)[0, 1]) < bound for pair in pairs)


def test_ten_million_normals_have_their_law() -> None:
    numbers = normals(MANY)
    assert fits(numbers, special.ndtr)
    assert moments_fit(numbers)
    assert tails_fit(numbers)
    assert not fits(numbers + np.float32(2e-3), special.ndtr)
    assert not moments_fit(1.002 * numbers)
    assert not tails_fit(np.clip(numbers, -4.4, 4.4))


def test_units_have_the_law_of_normals() -> None:
    numbers = units(100, range(1 << 8)).reshape(-1, 100)
    assert fits(numbers.reshape(-1), special.ndtr)
    assert moments_fit(numbers)
    assert tails_fit(numbers)
    numbers[:, 99] = numbers[:, 0]  # an id that takes another one's number
    assert not are_independent(numbers[:, 99], numbers[:, 0])


def test_a_million_laplace_numbers_have_their_law() -> None:
    numbers = standard_noise(3, Stream("a/kernel", 0, 1 << 20), "Laplace", np.arange(1 << 20), 5)
    assert fits(numbers, stats.laplace.cdf)
    for level in (3.0, 8.0, 11.0):
        for side in (numbers, -numbers):
            test = stats.binomtest(int(np.count_nonzero(side > level)), side.size, float(stats.laplace.sf(level)))
            assert test.pvalue > ALARM
    assert not fits(1.03 * numbers, stats.laplace.cdf)
    signs = np.sign(numbers).astype(np.float64)
    assert abs(np.corrcoef(signs, np.abs(numbers))[0, 1]) < stats.norm.isf(ALARM / 2) / SIDE
    for lag in (1, 16, 32, 64):
        assert are_independent(numbers[lag:], numbers[:-lag])


@pytest.mark.parametrize("other", [{"seed": 4}, {"draw": 6}, {"draw": 5 + 2**32}, {"name": "b/kernel"}])
def test_keys_and_draws_are_independent(other: dict[str, int | str]) -> None:
    first, second = normals(1 << 20), normals(1 << 20, **other)  # type: ignore[arg-type]
    assert are_independent(first, second)
    for lag in (1, 16, 64):
        assert are_independent(first[lag:], second[:-lag])
    assert not are_independent(first, second + np.float32(0.01) * first)


@pytest.mark.parametrize("lag", [1, 2, 15, 16, 17, 32, 48, 63, 64, 65, 128, 1_024, 4_096])
def test_ids_are_independent(lag: int) -> None:
    """16 is the other number of a pair, 32 and 48 the other outputs of a counter, 1 and 64 neighbouring counters."""
    numbers = normals(1 << 20)
    assert are_independent(numbers[lag:], numbers[:-lag])
    numbers[lag:] += np.float32(0.01) * numbers[:-lag]
    assert not are_independent(numbers[lag:], numbers[:-lag])


def test_places_and_units_and_draws_are_independent() -> None:
    """Neighbours in one of them, or in several: 16 is the other number of a pair, 32 the next pair of a counter."""
    numbers = units(SIDE // 4, range(40))
    for lag in (1, 2, 15, 16, 17, 32, 48):
        assert are_independent(numbers[:, lag:], numbers[:, :-lag])
    for lag in (1, 16, 64):
        assert are_independent(numbers[..., lag:], numbers[..., :-lag])
    assert are_independent(numbers[1:], numbers[:-1])
    assert are_independent(numbers[:, 1:, 1:], numbers[:, :-1, :-1])
    assert are_independent(numbers[1:, 1:, 1:], numbers[:-1, :-1, :-1])
    same = np.broadcast_to(numbers[:, :1], numbers.shape)  # the place is not used
    assert not are_independent(same[:, 1:], same[:, :-1])


def test_place_and_draw_and_unit_are_not_interchangeable() -> None:
    """Noise of draw 1 and place 2 is not that of draw 2 and place 1, nor of neighbouring units; nor place and unit."""
    numbers = units(SIDE, range(8))
    above = np.triu_indices(8, 1)
    first, second = numbers[above], numbers[above[::-1]]
    assert are_independent(first, second)
    assert are_independent(first[..., 1:], second[..., :-1])
    assert not are_independent(first, second + np.float32(0.05) * first)
    square = units(64, range(64))
    places, others = (square[:, one, two] for one, two in (np.triu_indices(64, 1), np.triu_indices(64, 1)[::-1]))
    assert are_independent(places, others)
