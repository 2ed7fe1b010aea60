"""Keyed noise: the words are Philox's, the numbers are those of the description, whatever else is generated."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from bprune.arrays import AnyArray
from bprune.engines.tensorflow.noise import StreamNoise, noise_keys
from bprune.engines.tensorflow.philox import PhiloxSequence
from bprune.lowering.weights import Stream
from tests.engines.noise_oracle import philox, standard_numbers

ALARM = 1e-6
FAMILIES = ["Normal", "Laplace", "LogNormal"]


def generate(
    family: str, size: int, ids: AnyArray, *, seed: int = 3, draw: int = 5, key: str = "a/kernel#0"
) -> AnyArray:
    import tensorflow as tf

    noise = StreamNoise(family, size, ids)
    keys = noise_keys(seed, [draw], [key])[0, 0]
    return np.asarray(tf.function(noise.emit)(tf.constant(keys)))


def test_the_oracle_gives_the_known_answers_of_philox() -> None:
    """Random123's kat_vectors, philox4x32 10: the counter and key of zeros."""
    assert [f"{word:08x}" for word in philox(0, 0, 4)] == ["6627e8d5", "e169c58d", "bc57ac4c", "9b00dbd8"]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("size", [1, 15, 16, 17, 33, 5_001])
def test_the_numbers_are_those_of_the_description(family: str, size: int) -> None:
    expected = standard_numbers(family, 3, 5, Stream("a/kernel", 0, size))
    np.testing.assert_allclose(generate(family, size, np.arange(size)), expected, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("share", [0.9, 0.4, 0.05, 0.0005])
def test_a_number_is_the_same_whatever_is_generated_beside_it(family: str, share: float) -> None:
    """Bit for bit; with few ids, numbers are gathered before the arithmetic, or computed alone, by other code."""
    size = 300_007
    whole = generate(family, size, np.arange(size))
    ids = np.flatnonzero(np.random.default_rng(1).random(size) < share)
    np.testing.assert_array_equal(generate(family, size, ids), whole[ids])


@pytest.mark.parametrize("wanted", [None, [0, 1, 2, 3, 8, 9, 14, 15], list(range(200)), [7, 199_999, 7, 0]])
def test_places_of_a_sequence_are_generated_or_computed_alike(wanted: list[int] | None) -> None:
    import tensorflow as tf

    length, key, high = 200_000, 2**64 - 3, 2**63 + 2**33 + 5
    low_words, high_words = philox(key, high, 2 * length).astype(np.int64).reshape(-1, 2).T
    expected = low_words | (high_words << 32)
    places = None if wanted is None else np.asarray(wanted)
    found = PhiloxSequence(length, places).emit(tf.constant([key, high], tf.uint64))
    np.testing.assert_array_equal(found, expected if places is None else expected[places])
    if places is not None:  # a short sequence is generated as a whole
        short = PhiloxSequence(210, places[places < 210]).emit(tf.constant([key, high], tf.uint64))
        np.testing.assert_array_equal(short, expected[places[places < 210]])


def test_parts_of_streams_in_full() -> None:
    """The first ids without a gap, all of the first half, and one more."""
    size = 1_000
    whole = generate("Normal", size, np.arange(size))
    for count in (0, 1, 100, 511, 512, 513, 999):
        np.testing.assert_array_equal(generate("Normal", size, np.arange(count)), whole[:count])


def test_seed_draw_and_stream_give_other_numbers() -> None:
    one = generate("Normal", 64, np.arange(64))
    others = [
        generate("Normal", 64, np.arange(64), seed=4),
        generate("Normal", 64, np.arange(64), draw=6),
        generate("Normal", 64, np.arange(64), key="a/kernel#1"),
    ]
    for other in others:
        assert np.max(np.abs(one - other)) > 0.5
        assert np.abs(np.corrcoef(one, other)[0, 1]) < 0.6


def test_keys_are_of_draws_and_streams() -> None:
    keys = noise_keys(1, range(3, 5), ["a#0", "b#0"])
    assert keys.shape == (2, 2, 2)
    np.testing.assert_array_equal(keys[1], noise_keys(1, [4], ["a#0", "b#0"])[0])
    assert noise_keys(1, range(2), []).shape == (2, 0, 2)
    assert len({item.tobytes() for row in keys for item in row}) == 4


@pytest.mark.parametrize("family", ["Normal", "Laplace"])
def test_the_numbers_have_their_law(family: str) -> None:
    """Kolmogorov-Smirnov, tails and neighbours, false-alarm rate 1e-6 each; a wrong scale of 2 % is noticed."""
    numbers = generate(family, 1 << 20, np.arange(1 << 20)).astype(np.float64)
    law = stats.norm if family == "Normal" else stats.laplace
    assert stats.kstest(numbers, law.cdf).pvalue > ALARM
    assert stats.kstest(1.02 * numbers, law.cdf).pvalue < ALARM
    for level in (3.0, 4.0):
        expected = 2.0 * law.sf(level)
        assert stats.binomtest(int((np.abs(numbers) > level).sum()), numbers.size, expected).pvalue > ALARM
    halves = numbers.reshape(2, -1)  # the two numbers of a pair
    for first, second in ((numbers[1:], numbers[:-1]), halves, np.square(halves)):
        z = np.corrcoef(first, second)[0, 1] * np.sqrt(len(first))
        assert abs(z) < stats.norm.isf(ALARM / 2)
