"""Philox4x32-10 (Salmon et al. 2011): 64-bit random numbers by their place in a sequence, all of it or some places."""

from __future__ import annotations

from typing import Any

import numpy as np

from bprune.arrays import AnyArray

__all__ = ["PhiloxSequence"]

_ROUNDS = 10
_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_WEYL = (0x9E3779B9, 0xBB67AE85)
_MASK = 0xFFFFFFFF

_COMPUTED_BELOW = 0.25
"""Share of the sequence's blocks below which the wanted blocks are computed by elementwise operations: these need 40 ns
for a block, TensorFlow's generator, which makes all of them, 12 ns (measured on one core)."""


class PhiloxSequence:
    """Numbers of a sequence `Q[0], Q[1], ...` of which a block of two is one value of Philox.

    Block `n` are the four words of the counter `n`: `Q[2 n] = w0 + 2^32 w1`, `Q[2 n + 1] = w2 + 2^32 w3`, as signed
    64-bit numbers.

    Args:
        length: How many numbers the sequence has.
        places: Which of them are wanted, `[number]`; None for all.
    """

    def __init__(self, length: int, places: AnyArray | None = None) -> None:
        import tensorflow as tf

        self._length, self._blocks, self._gather = length, None, None
        if places is None:
            return
        blocks = np.unique(places // 2)
        if 2 * blocks.size < _COMPUTED_BELOW * length:
            position = np.searchsorted(blocks, places // 2) + (places % 2) * blocks.size
            self._blocks = tf.constant(blocks.astype(np.uint64))
            self._gather = tf.constant(position.astype(np.int32))
        else:
            self._gather = tf.constant(places.astype(np.int32))

    def emit(self, key: Any) -> Any:
        """The wanted numbers.

        Args:
            key: `[2]`, uint64: the key, and the high half of all counters.

        Returns:
            `[number]`, int64, in the order of the places.
        """
        import tensorflow as tf

        if self._blocks is not None:
            return tf.gather(_compute(self._blocks, key), self._gather)
        counter = tf.stack([tf.constant(0, tf.uint64), key[1]])
        numbers = tf.raw_ops.StatelessRandomUniformFullIntV2(
            shape=[self._length], key=key[:1], counter=counter, alg=1, dtype=tf.int64
        )
        return numbers if self._gather is None else tf.gather(numbers, self._gather)


def _compute(blocks: Any, key: Any) -> Any:
    """The first numbers of all blocks, then the second ones, int64: Philox, operation by operation."""
    import tensorflow as tf

    both, either, right = tf.bitwise.bitwise_and, tf.bitwise.bitwise_xor, tf.bitwise.right_shift
    mask, half = tf.constant(_MASK, tf.uint64), tf.constant(32, tf.uint64)
    multipliers, weyl = ([tf.constant(item, tf.uint64) for item in pair] for pair in (_MULTIPLIERS, _WEYL))
    keys = [both(key[0], mask), right(key[0], half)]
    word = [both(blocks, mask), right(blocks, half), both(key[1], mask), right(key[1], half)]
    for _ in range(_ROUNDS):
        first, second = multipliers[0] * word[0], multipliers[1] * word[2]
        word = [
            either(right(second, half), either(word[1], keys[0])),
            both(second, mask),
            either(right(first, half), either(word[3], keys[1])),
            both(first, mask),
        ]
        keys = [both(item + step, mask) for item, step in zip(keys, weyl, strict=True)]
    left = tf.bitwise.left_shift
    numbers = [tf.bitwise.bitwise_or(low, left(high, half)) for low, high in (word[:2], word[2:])]
    return tf.bitcast(tf.concat(numbers, 0), tf.int64)
