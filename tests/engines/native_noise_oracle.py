"""Native noise version 1, written from its description: word by word, in NumPy and float64."""

from __future__ import annotations

import hashlib

import numpy as np

from bprune.arrays import AnyArray

__all__ = ["numbers", "philox", "unit_noise", "weight_noise"]

_LOW = np.uint64(0xFFFFFFFF)


def philox(counter: list[AnyArray], key: int, rounds: int) -> list[AnyArray]:
    """Philox4x32: four words for counters given as four arrays of words."""
    words = [np.asarray(word, np.uint64) for word in counter]
    keys = [key & 0xFFFFFFFF, key >> 32]
    for _ in range(rounds):
        first, second = np.uint64(0xD2511F53) * words[0], np.uint64(0xCD9E8D57) * words[2]
        half = np.uint64(32)
        words = [
            (second >> half) ^ words[1] ^ np.uint64(keys[0]),
            second & _LOW,
            (first >> half) ^ words[3] ^ np.uint64(keys[1]),
            first & _LOW,
        ]
        keys = [(keys[0] + 0x9E3779B9) & 0xFFFFFFFF, (keys[1] + 0xBB67AE85) & 0xFFFFFFFF]
    return words


def _uniform(word: AnyArray) -> AnyArray:
    return ((word >> np.uint64(1)).astype(np.float32) + np.float32(0.5)).astype(np.float64) / 2.0**31


def numbers(purpose: str, seed: int, name: str, ids: AnyArray, draw: int, row: int | AnyArray) -> AnyArray:
    """The noise of some ids, `[id]`, float64."""
    text = f"bprune native noise 1|{purpose}|{seed}|{name}"
    key = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")
    ids = np.asarray(ids, np.int64)
    place = 16 * (ids // 64) + ids % 16
    rest = [np.full_like(place, part) for part in (draw & 0xFFFFFFFF, draw >> 32, row)]
    words = philox([place, *rest], key, 7)
    output = (ids // 16) % 4
    if purpose == "laplace":
        word = np.choose(output, words)
        return -np.log(_uniform(word)) * np.where(word & np.uint64(1), -1.0, 1.0)
    outputs = []
    for first, second in (words[:2], words[2:]):
        radius = np.sqrt(-2.0 * np.log(_uniform(first)))
        turns = second.astype(np.uint32).astype(np.int32).astype(np.float32).astype(np.float64) / 2.0**32
        outputs += [radius * np.cos(2.0 * np.pi * turns), radius * np.sin(2.0 * np.pi * turns)]
    return np.asarray(np.choose(output, outputs))


def weight_noise(family: str, seed: int, name: str, ids: AnyArray, draw: int) -> AnyArray:
    """The standard noise of some weights, `[id]`, float64."""
    return numbers("laplace" if family == "Laplace" else "normal", seed, name, ids, draw, 0)


def unit_noise(seed: int, name: str, units: AnyArray, draw: int, example: int) -> AnyArray:
    """The standard noise of some units for an example, `[unit]`, float64."""
    units = np.asarray(units, np.int64)
    return numbers("unit", seed, name, np.full_like(units, example % 64), draw, units)
