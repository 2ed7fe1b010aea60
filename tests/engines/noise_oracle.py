"""Keyed noise in plain NumPy, from its description: Philox4x32-10 (Salmon et al. 2011), float64 after that."""

from __future__ import annotations

import hashlib

import numpy as np

from bprune.arrays import AnyArray
from bprune.lowering.program import Program, weights_of
from bprune.lowering.weights import Stream
from tests.lowering.reference import Noise

__all__ = ["keyed_noise", "philox", "standard_numbers"]

_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_WEYL = (0x9E3779B9, 0xBB67AE85)
_LOW = np.uint64(0xFFFFFFFF)


def philox(key: int, high: int, count: int) -> AnyArray:
    """The first words of the counters (0, high), (1, high), ... under a key, uint32."""
    blocks = np.arange(-(-count // 4), dtype=np.uint64)
    counter = [blocks & _LOW, blocks >> np.uint64(32)]
    counter += [np.full_like(blocks, high & 0xFFFFFFFF), np.full_like(blocks, high >> 32)]
    keys = [key & 0xFFFFFFFF, key >> 32]
    for _ in range(10):
        products = [np.uint64(m) * word for m, word in zip(_MULTIPLIERS, (counter[0], counter[2]), strict=True)]
        highs, lows = [p >> np.uint64(32) for p in products], [p & _LOW for p in products]
        first, second = (np.uint64(item) for item in keys)
        counter = [highs[1] ^ counter[1] ^ first, lows[1], highs[0] ^ counter[3] ^ second, lows[0]]
        keys = [(item + weyl) & 0xFFFFFFFF for item, weyl in zip(keys, _WEYL, strict=True)]
    return np.stack(counter, 1).reshape(-1)[:count].astype(np.uint32)


def standard_numbers(family: str, seed: int, draw: int, stream: Stream) -> AnyArray:
    """The noise of all elements of a stream in one draw, `[element]`, float64."""
    text = f"bprune noise 1|{seed}|{draw}|{stream.key}"
    digest = hashlib.blake2b(text.encode(), digest_size=16).digest()
    key, high = (int.from_bytes(digest[start : start + 8], "little") for start in (0, 8))
    pairs = -(-((stream.size + 1) // 2) // 16) * 16
    low, signed = philox(key, high, 2 * (stream.size if family == "Laplace" else pairs)).reshape(-1, 2).T
    uniform = ((low & np.uint32(0x7FFFFFFF)).astype(np.float64) + 0.5) / 2.0**31
    if family == "Laplace":
        return np.where(signed >= 2**31, 1.0, -1.0) * np.log(uniform)
    radius, angle = np.sqrt(-2.0 * np.log(uniform)), 2.0 * np.pi * signed.astype(np.int32) / 2.0**32
    return np.concatenate([radius * np.cos(angle), radius * np.sin(angle)])[: stream.size]


def keyed_noise(program: Program, seed: int, draw: int) -> Noise:
    """One draw for the oracle of programs."""
    families = {
        weights.stream.key: weights.family
        for op in program.ops
        for weights in weights_of(op).values()
        if weights.stream is not None
    }
    return lambda stream: standard_numbers(families[stream.key], seed, draw, stream)
