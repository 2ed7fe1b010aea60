"""Batches of pictures as a tf.data pipeline that stays ahead of the training steps.

The pictures stay in memory as bytes. Only their numbers are shuffled; a batch is gathered, converted and augmented at
once, in parallel, and some batches ahead are ready.
"""

from __future__ import annotations

from typing import Any

from bprune.arrays import AnyArray

__all__ = ["PAD", "batches", "ordered_batches"]

PAD = 4
"""Pixels around a picture, out of which the augmentation cuts at random."""


def batches(
    images: AnyArray,
    labels: AnyArray,
    *,
    batch: int,
    shape: tuple[int, ...],
    seed: int,
    shard: int = 0,
    shards: int = 1,
    augment: bool = False,
) -> Any:
    """One epoch of batches in random order, anew in each epoch.

    Args:
        images: `[example, row, column, channel]`, uint8.
        labels: `[example]`, int64.
        batch: Examples of a batch; an incomplete last one is left out.
        shape: What the network takes, without the example axis.
        seed: Seed of the order and of the augmentation.
        shard: Which part of the examples: those with number `shard` modulo `shards`.
        shards: How many parts there are.
        augment: Cut every picture at random out of a border of `PAD` black pixels, and mirror half of them.

    Returns:
        A tf.data.Dataset of pairs: `[batch, *shape]`, float32, in [0, 1], and `[batch]`, int64.
    """
    import tensorflow as tf

    with tf.device("/cpu:0"):
        pictures, classes = tf.constant(images), tf.constant(labels)

    def gathered(chosen: Any, noise: Any) -> Any:
        taken = tf.gather(pictures, chosen)
        if augment:
            taken = _augmented(taken, noise)
        values = tf.cast(taken, tf.float32) / 255.0
        return tf.reshape(values, [batch, *shape]), tf.gather(classes, chosen)

    data = tf.data.Dataset.range(len(images)).shard(shards, shard)
    data = data.shuffle(len(images), seed=seed, reshuffle_each_iteration=True).batch(batch, drop_remainder=True)
    noise = tf.data.Dataset.random(seed=seed, rerandomize_each_iteration=True).batch(2)
    data = tf.data.Dataset.zip((data, noise))
    return data.map(gathered, num_parallel_calls=tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)


def ordered_batches(images: AnyArray, labels: AnyArray, *, batch: int, shape: tuple[int, ...]) -> Any:
    """All examples in their order, as pairs like those of `batches`; the last batch may be smaller."""
    import tensorflow as tf

    def converted(taken: Any, classes: Any) -> Any:
        return tf.reshape(tf.cast(taken, tf.float32) / 255.0, [-1, *shape]), classes

    with tf.device("/cpu:0"):
        data = tf.data.Dataset.from_tensor_slices((images, labels))
    return data.batch(batch).map(converted, num_parallel_calls=tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)


def _augmented(pictures: Any, noise: Any) -> Any:
    """Pictures of a batch, each shifted by up to `PAD` pixels in both directions, and mirrored or not."""
    import tensorflow as tf

    count, (rows, columns) = tf.shape(pictures)[0], pictures.shape[1:3]
    draws = tf.random.stateless_uniform([2, count], tf.cast(noise, tf.int64), 0, 2 * PAD + 1, tf.int32)
    padded = tf.pad(pictures, [[0, 0], [PAD, PAD], [PAD, PAD], [0, 0]])
    from_top = draws[0][:, tf.newaxis] + tf.range(rows)
    from_left = draws[1][:, tf.newaxis] + tf.range(columns)
    cut = tf.gather(tf.gather(padded, from_top, axis=1, batch_dims=1), from_left, axis=2, batch_dims=1)
    mirrored = tf.random.stateless_uniform([count, 1, 1, 1], tf.cast(noise, tf.int64) + 1) < 0.5
    return tf.where(mirrored, tf.reverse(cut, [2]), cut)
