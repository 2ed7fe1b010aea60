"""Native noise: the words are Philox's, the numbers are those of the description, whatever is made beside them."""

from __future__ import annotations

import numpy as np
import pytest

from bprune.engines.native.noise import WeightSampler, noise_key, standard_noise
from bprune.engines.native.noise import unit_noise as unit_numbers
from bprune.lowering.weights import Stream
from tests.engines.native_noise_oracle import philox, unit_noise, weight_noise

FAMILIES = ["Normal", "LogNormal", "Laplace"]
SIZES = [0, 1, 15, 16, 17, 63, 64, 65, 1_023, 1_025, 5_001]
KNOWN = {
    (0, 0): "6627e8d5 e169c58d bc57ac4c 9b00dbd8",
    (2**128 - 1, 2**64 - 1): "408f276d 41c83b0e a20bc7c6 6d5451fd",
    (0x0370734413198A2E85A308D3243F6A88, 0x299F31D0A4093822): "d16cfe09 94fdcceb 5001e420 24126ea1",
}
"""Random123's kat_vectors, philox4x32 10: words by counter and key."""


def kernel_words(counter: int, key: int, rounds: int) -> list[int]:
    from bprune.engines.native.kernels import philox_words

    out = np.empty(4, np.uint32)
    parts = tuple(np.uint32(counter >> shift & 0xFFFFFFFF) for shift in (0, 32, 64, 96))
    philox_words(out, parts, (np.uint32(key & 0xFFFFFFFF), np.uint32(key >> 32)), rounds)
    return [int(word) for word in out]


def oracle_words(counter: int, key: int, rounds: int) -> list[int]:
    parts = [np.array([counter >> shift & 0xFFFFFFFF]) for shift in (0, 32, 64, 96)]
    return [int(word[0]) for word in philox(parts, key, rounds)]


@pytest.mark.parametrize(("place", "words"), KNOWN.items())
def test_philox_gives_its_known_answers(place: tuple[int, int], words: str) -> None:
    expected = [int(word, 16) for word in words.split()]
    assert kernel_words(*place, 10) == expected
    assert oracle_words(*place, 10) == expected
    assert kernel_words(*place, 9) != expected


def test_seven_rounds_are_those_of_the_oracle() -> None:
    rng = np.random.default_rng(3)
    for _ in range(50):
        counter, key = int.from_bytes(rng.bytes(16), "little"), int.from_bytes(rng.bytes(8), "little")
        assert kernel_words(counter, key, 7) == oracle_words(counter, key, 7)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("size", SIZES)
def test_weights_have_the_numbers_of_the_description(family: str, size: int) -> None:
    for seed, draw in ((3, 5), (2**80, 2**33 + 7)):
        found = standard_noise(seed, Stream("a/kernel", 1, size), family, np.arange(size), draw)
        expected = weight_noise(family, seed, "a/kernel#1", np.arange(size), draw)
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)


def test_far_ids_have_the_numbers_of_the_description() -> None:
    ids = np.array([2**31 - 1, 7, 2**30 + 3, 2**31 - 1_000])
    found = standard_noise(1, Stream("a/kernel", 0, 2**31), "Normal", ids, 0)
    np.testing.assert_allclose(found, weight_noise("Normal", 1, "a/kernel#0", ids, 0), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("units", [1, 10, 16, 17, 64, 65, 100, 400])
def test_units_have_the_numbers_of_the_description(units: int) -> None:
    found = unit_numbers(4, "a/kernel#0", np.arange(units), 2**32 + 1)
    assert found.shape == (64, units)
    for place in (0, 5, 63):
        for example in (place, place + 64, 2**32 - 64 + place):
            expected = unit_noise(4, "a/kernel#0", np.arange(units), 2**32 + 1, example)
            np.testing.assert_allclose(found[place], expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("share", [0.999, 0.5, 0.05, 0.0005])
def test_a_number_is_the_same_whatever_is_made_beside_it(family: str, share: float) -> None:
    """Bit for bit, for ids in any order."""
    size, stream, rng = 70_007, Stream("a/kernel", 0, 70_007), np.random.default_rng(1)
    whole = standard_noise(3, stream, family, np.arange(size), 5)
    ids = np.flatnonzero(rng.random(size) < share)
    for chosen in (ids, rng.permutation(ids), ids[:1], ids[:0]):
        np.testing.assert_array_equal(standard_noise(3, stream, family, chosen, 5), whole[chosen])


def test_units_have_the_same_numbers_whatever_is_made_beside_them() -> None:
    """Bit for bit: some units, in any order."""
    units = 300
    whole = unit_numbers(3, "a", np.arange(units), 5)
    rng = np.random.default_rng(2)
    for chosen in (np.flatnonzero(rng.random(units) < 0.3), rng.permutation(units), np.array([299]), np.arange(0)):
        np.testing.assert_array_equal(unit_numbers(3, "a", chosen, 5), whole[:, chosen])


def test_seed_stream_purpose_and_draw_give_other_numbers() -> None:
    keys = {
        noise_key(seed, name, purpose) for seed in (1, 2) for name in "ab" for purpose in ("normal", "laplace", "unit")
    }
    assert len(keys) == 12
    stream, ids = Stream("a/kernel", 0, 64), np.arange(64)
    one = standard_noise(3, stream, "Normal", ids, 5)
    others = [
        standard_noise(4, stream, "Normal", ids, 5),
        standard_noise(3, stream, "Normal", ids, 6),
        standard_noise(3, stream, "Normal", ids, 5 + 2**32),
        standard_noise(3, Stream("a/kernel", 1, 64), "Normal", ids, 5),
        unit_numbers(3, stream.key, ids, 5)[0],
    ]
    for other in others:
        assert np.abs(np.corrcoef(one, other)[0, 1]) < 0.6
        assert np.max(np.abs(one - other)) > 0.5


def test_the_antithetic_draw_has_the_opposite_noise() -> None:
    out = np.zeros((2, 200), np.float32)
    for place, sign in zip(out, (1.0, -1.0), strict=True):
        sampler = WeightSampler(1, Stream("a", 0, 200), "Normal", np.zeros(200), np.ones(200))
        sampler.sample(place, 3, sign)
    np.testing.assert_array_equal(out[0], -out[1])


def test_ids_are_not_repeated() -> None:
    ids = np.repeat(np.arange(4), 300)
    with pytest.raises(ValueError, match="some ids of sampled weights are the same"):
        WeightSampler(1, Stream("a", 0, 2_000), "Normal", np.zeros(1_200), np.ones(1_200), ids)
