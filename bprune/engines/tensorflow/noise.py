"""Keyed noise: a standard number for every weight, whatever else is computed, and in whatever order.

Noise version 1. The noise of an element is a function of the run's seed, the number of the draw, the stream's key and
size, and the element's original id:

1. `h = BLAKE2b-128("bprune noise 1|SEED|DRAW|KEY")`, read as two little-endian 64-bit numbers `h0, h1`.
2. Philox4x32-10 (Salmon et al. 2011) with the key `h0` and the counters `(n, h1)` (low, high 64 bits), n = 0, 1, ...,
   gives the 32-bit words `W[4 n ... 4 n + 3]`. They are read as signed numbers.
3. Laplace: the element `i` has the word `w = W[i]`; `z = sign(w) * -ln(u(w))`, u(w) = (w mod 2^31 + 1/2) 2^-31.
4. Normal and LogNormal: with `P = ceil(size / 2)` rounded up to a multiple of 16, the element `i` is one of the pair
   `p = i mod P`, and `r = sqrt(-2 ln u(W[p]))`, `t = 2 pi 2^-32 W[P + p]`: `z = r cos t` if `i < P`, `r sin t` else
   (Box and Muller 1958). |z| is at most 6.66.

The integers are the same everywhere. The floats may differ between kinds of devices by rounding, as logarithm, sine
and cosine do; on one kind they are the same numbers, whichever ids are asked for. That is why every array here has a
length that is a multiple of 16: no element falls into the scalar remainder of a vectorised loop, which rounds in its
own way.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from bprune.arrays import AnyArray

__all__ = ["NOISE_VERSION", "StreamNoise", "noise_keys"]

NOISE_VERSION = 1

_LANES = 16
_WORDS = 4
_LARGEST_GAP = 1 << 14
"""Words between two wanted ones that are generated too: about the price of one more operation."""

_GATHER_WORDS_BELOW = 0.35
"""Share of the pairs below which words are gathered before the arithmetic instead of numbers after it."""


def noise_keys(seed: int, draws: Iterable[int], streams: Sequence[str]) -> AnyArray:
    """What distinguishes the noise of draws and streams.

    Args:
        seed: The run's seed.
        draws: Numbers of the draws.
        streams: Keys of the streams.

    Returns:
        `[draw, stream, 2]`, uint64: Philox key, high half of its counter.
    """
    text = [[f"bprune noise {NOISE_VERSION}|{seed}|{draw}|{key}".encode() for key in streams] for draw in draws]
    digests = b"".join(hashlib.blake2b(item, digest_size=16).digest() for row in text for item in row)
    return np.frombuffer(digests, "<u8").astype(np.uint64).reshape(len(text), len(streams), 2)


class StreamNoise:
    """The standard noise of some elements of a stream, as TensorFlow operations.

    Args:
        family: The family's name: Normal, LogNormal or Laplace.
        size: How many elements the stream had at first.
        ids: The wanted elements' original ids, `[element]`, ascending, each once.
    """

    def __init__(self, family: str, size: int, ids: AnyArray) -> None:
        self._is_laplace = family == "Laplace"
        self._length = _padded(size if self._is_laplace else (size + 1) // 2)
        self._count = int(ids.size)
        ids = ids.astype(np.int64)
        halves = [ids] if self._is_laplace else [ids[ids < self._length], ids[ids >= self._length] - self._length]
        self._segments = _segments(np.unique(np.concatenate(halves)), self._length)
        self._all = all(np.array_equal(half, np.arange(half.size)) for half in halves) and (
            len(halves) == 1 or halves[1].size == 0 or halves[0].size == self._length
        )
        generated = sum(stop - start for start, stop in self._segments)
        self._early = not self._all and self._count < _GATHER_WORDS_BELOW * 2 * generated
        places = [_places(half, self._segments) for half in halves]
        self._counts = [int(half.size) for half in halves]
        self._gathers: list[Any] = []
        if self._all:
            return
        if self._early:
            self._gathers = [_constant(np.pad(item, (0, _padded(item.size) - item.size))) for item in places]
        else:
            self._gathers = [
                _constant(np.concatenate([half + number * generated for number, half in enumerate(places)]))
            ]

    @property
    def words(self) -> int:
        """How many random words are generated."""
        return sum(stop - start for start, stop in self._segments) * (1 if self._is_laplace else 2)

    def emit(self, key: Any) -> Any:
        """The noise of one draw.

        Args:
            key: `[2]`, uint64: see `noise_keys`.

        Returns:
            `[element]`, float32, in the order of the ids.
        """
        import tensorflow as tf

        if not self._count:
            return tf.zeros([0], tf.float32)
        if self._is_laplace:
            words = self._words(key, (0,))
            if self._early:
                return _laplace(tf.gather(words, self._gathers[0]))[: self._count]
            numbers = _laplace(words)
        else:
            radii, angles = self._words(key, (0, self._length))
            if self._early:
                return self._few_normals(radii, angles)
            radius, angle = _radius(radii), _angle(angles)
            parts = [radius * tf.cos(angle)]
            if self._counts[1]:
                parts.append(radius * tf.sin(angle))
            numbers = tf.concat(parts, 0)
        return numbers[: self._count] if self._all else tf.gather(numbers, self._gathers[0])

    def _few_normals(self, radii: Any, angles: Any) -> Any:
        import tensorflow as tf

        parts = []
        for function, index, count in zip((tf.cos, tf.sin), self._gathers, self._counts, strict=True):
            if count:
                radius, angle = _radius(tf.gather(radii, index)), _angle(tf.gather(angles, index))
                parts.append((radius * function(angle))[:count])
        return parts[0] if len(parts) == 1 else tf.concat(parts, 0)

    def _words(self, key: Any, offsets: tuple[int, ...]) -> Any:
        """The words of all segments; for two offsets, those behind each."""
        import tensorflow as tf

        if len(offsets) == 2 and self._segments == [(0, self._length)]:
            both = _philox(key, 0, 2 * self._length)
            return both[: self._length], both[self._length :]
        found = []
        for offset in offsets:
            parts = [_philox(key, offset + start, stop - start) for start, stop in self._segments]
            found.append(parts[0] if len(parts) == 1 else tf.concat(parts, 0))
        return found if len(found) == 2 else found[0]


def _philox(key: Any, start: int, count: int) -> Any:
    """The words `start ... start + count - 1`; both are multiples of 4."""
    import tensorflow as tf

    counter = tf.stack([tf.constant(start // _WORDS, tf.uint64), key[1]])
    return tf.raw_ops.StatelessRandomUniformFullIntV2(
        shape=[count], key=key[:1], counter=counter, alg=1, dtype=tf.int32
    )


def _minus_log_uniform(words: Any) -> Any:
    """-ln u, u = (w mod 2^31 + 1/2) 2^-31 in (0, 1]."""
    import tensorflow as tf

    number = tf.cast(tf.bitwise.bitwise_and(words, 0x7FFFFFFF), tf.float32)
    return -tf.math.log((number + 0.5) * np.float32(2.0**-31))


def _radius(words: Any) -> Any:
    import tensorflow as tf

    return tf.sqrt(2.0 * _minus_log_uniform(words))


def _angle(words: Any) -> Any:
    import tensorflow as tf

    return tf.cast(words, tf.float32) * np.float32(2.0 * np.pi * 2.0**-32)


def _laplace(words: Any) -> Any:
    import tensorflow as tf

    size = _minus_log_uniform(words)
    return tf.where(words < 0, -size, size)


def _padded(count: int) -> int:
    return -(-count // _LANES) * _LANES


def _segments(places: AnyArray, length: int) -> list[tuple[int, int]]:
    """Ranges that hold all places (ascending); gaps that are worth it are left out."""
    if not places.size:
        return []
    breaks = np.flatnonzero(np.diff(places) > _LARGEST_GAP)
    starts = places[np.concatenate([[0], breaks + 1])] // _LANES * _LANES
    stops = np.minimum((places[np.concatenate([breaks, [places.size - 1]])] // _LANES + 1) * _LANES, length)
    ranges = [(int(a), int(b)) for a, b in zip(starts, stops, strict=True)]
    whole = ranges[0][0] <= _LARGEST_GAP and ranges[-1][1] >= length - _LARGEST_GAP and len(ranges) == 1
    return [(0, length)] if whole else ranges


def _places(wanted: AnyArray, segments: Sequence[tuple[int, int]]) -> AnyArray:
    """Where ids stand in the joined segments."""
    if not segments:
        return wanted
    starts = np.array([start for start, _ in segments])
    shifts = np.concatenate([[0], np.cumsum([stop - start for start, stop in segments])[:-1]]) - starts
    return np.asarray(wanted + shifts[np.searchsorted(starts, wanted, side="right") - 1])


def _constant(index: AnyArray) -> Any:
    import tensorflow as tf

    return tf.constant(index.astype(np.int32))
