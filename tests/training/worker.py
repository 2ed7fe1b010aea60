"""One worker of a MultiWorkerMirroredStrategy with a tiny network: `python worker.py CASE_DIR`, with TF_CONFIG set."""

from __future__ import annotations

import sys

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp
import tf_keras

from bprune.training import BPruneCallback


def main() -> None:
    """Train two epochs and write the case; every worker runs the same program."""
    strategy = tf.distribute.MultiWorkerMirroredStrategy()
    with strategy.scope():
        model = tf_keras.Sequential(
            [
                tf_keras.Input((6,)),
                tfp.layers.DenseFlipout(5, name="den"),
                tf_keras.layers.BatchNormalization(name="norm"),
                tfp.layers.DenseFlipout(3, name="logits"),
            ]
        )
        model.compile("adam", tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    generator = np.random.default_rng(1)
    x = generator.normal(size=(16, 6)).astype(np.float32)
    data = tf.data.Dataset.from_tensor_slices((x, generator.integers(0, 3, 16))).batch(8)
    callback = BPruneCallback(sys.argv[1], every_steps=1, keep=2, heldout=(x, generator.integers(0, 3, 16)))
    model.fit(data, epochs=2, verbose=0, callbacks=[callback])
    print("moving mean", model.get_layer("norm").moving_mean.numpy().tolist())


if __name__ == "__main__":
    main()
