"""Keyed noise: a standard number for every weight, whatever else is computed, and in whatever order.

Noise version 1. The noise of an element is a function of the run's seed, the number of the draw, the stream's key and
size, and the element's original id:

1. `h = BLAKE2b-128("bprune noise 1|SEED|DRAW|KEY")`, read as two little-endian 64-bit numbers `h0, h1`.
2. Philox4x32-10 (Salmon et al. 2011) with the key `h0` and the counters `(n, h1)` (low, high 64 bits), n = 0, 1, ...,
   gives the words `w0 ... w3` of each n, and the numbers `Q[2 n] = w0 + 2^32 w1`, `Q[2 n + 1] = w2 + 2^32 w3`.
   A number has two parts: `u = (Q mod 2^31 + 1/2) 2^-31` in (0, 1], and its high word `v` as a signed 32-bit number.
3. Laplace: the element `i` has `Q[i]`, `z = -ln u` if `v` is not negative, `ln u` else.
4. Normal and LogNormal: with `P = ceil(size / 2)` rounded up to a multiple of 16, the element `i` is one of the pair
   with the number `Q[i mod P]`: `r = sqrt(-2 ln u)`, `t = 2 pi 2^-32 v`, `z = r cos t` if `i < P`, `r sin t` else
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
from bprune.engines.tensorflow.philox import PhiloxSequence

__all__ = ["NOISE_VERSION", "StreamNoise", "noise_keys"]

NOISE_VERSION = 1

_LANES = 16
_CHOSEN_BELOW = 0.35
"""Share of a stream's elements below which its numbers are chosen before the arithmetic instead of after it."""


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
        self._count = int(ids.size)
        length = _padded(size if self._is_laplace else (size + 1) // 2)
        cosines = int(np.searchsorted(ids, length))  # the first ids have cosines, the others sines; Laplace has none
        self._counts = [cosines, self._count - cosines]
        self._is_few = self._count < _CHOSEN_BELOW * size
        self._choice: Any = None
        if self._is_few:
            halves = ids[:cosines], ids[cosines:] - length
            places = [np.pad(half, (0, _padded(half.size) - half.size)) for half in halves]
            self._sequence = PhiloxSequence(length, np.concatenate(places))
            return
        self._sequence = PhiloxSequence(length)
        if self._count and ids[-1] != self._count - 1:
            self._choice = _constant(ids)

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
        numbers = self._sequence.emit(key)
        if self._is_few and not self._is_laplace:
            return _joined(self._few_normals(numbers))
        found = _laplace(numbers) if self._is_laplace else _joined(self._all_normals(numbers))
        return found[: self._count] if self._choice is None else tf.gather(found, self._choice)

    def _few_normals(self, numbers: Any) -> list[Any]:
        """The wanted elements' noise, those with cosines first: that is the order of the ids."""
        import tensorflow as tf

        start = _padded(self._counts[0])
        parts = zip((numbers[:start], numbers[start:]), (tf.cos, tf.sin), self._counts, strict=True)
        return [(_radius(part) * function(_angle(part)))[:count] for part, function, count in parts if count]

    def _all_normals(self, numbers: Any) -> list[Any]:
        import tensorflow as tf

        radius, angle = _radius(numbers), _angle(numbers)
        functions = (tf.cos, tf.sin) if self._counts[1] else (tf.cos,)
        return [radius * function(angle) for function in functions]


def _radius(numbers: Any) -> Any:
    """sqrt(-2 ln u)."""
    import tensorflow as tf

    return tf.sqrt(-2.0 * _log_uniform(numbers))


def _log_uniform(numbers: Any) -> Any:
    """ln u, u = (Q mod 2^31 + 1/2) 2^-31 in (0, 1]."""
    import tensorflow as tf

    low = tf.cast(tf.bitwise.bitwise_and(numbers, np.int64(0x7FFFFFFF)), tf.float32)
    return tf.math.log((low + 0.5) * np.float32(2.0**-31))


def _angle(numbers: Any) -> Any:
    """2 pi 2^-32 v."""
    import tensorflow as tf

    high = tf.cast(tf.bitwise.right_shift(numbers, np.int64(32)), tf.float32)
    return high * np.float32(2.0 * np.pi * 2.0**-32)


def _laplace(numbers: Any) -> Any:
    import tensorflow as tf

    size = _log_uniform(numbers)
    return tf.where(numbers < 0, size, -size)


def _joined(parts: Sequence[Any]) -> Any:
    import tensorflow as tf

    return parts[0] if len(parts) == 1 else tf.concat(parts, 0)


def _padded(count: int) -> int:
    return -(-count // _LANES) * _LANES


def _constant(index: AnyArray) -> Any:
    import tensorflow as tf

    return tf.constant(index.astype(np.int32))
