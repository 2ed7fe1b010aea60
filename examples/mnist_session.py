"""Train the paper's BNN-FC on MNIST in a TensorFlow 1 session; the hook writes the case.

Runs alone, or on several processes where Horovod is installed: `horovodrun -np 4 python examples/mnist_session.py`.

Example:
  python examples/mnist_session.py --data mnist.npz --out runs/mnist
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import tensorflow as tf
import tensorflow_probability as tfp
import tf_keras

from bprune.training import BPruneHook

try:
    import horovod.tensorflow as hvd
except ImportError:
    hvd = None

BATCH = 100


class Images(NamedTuple):
    """Handwritten digits.

    Attributes:
        x_train: `[example, row, column]`, uint8, 28 x 28 pixels.
        y_train: `[example]`, uint8, the digit.
        x_test: Held-out images.
        y_test: Held-out labels.
    """

    x_train: npt.NDArray[np.uint8]
    y_train: npt.NDArray[np.uint8]
    x_test: npt.NDArray[np.uint8]
    y_test: npt.NDArray[np.uint8]


class Network(NamedTuple):
    """The tensors of the training graph."""

    images: Any
    labels: Any
    logits: Any
    loss: Any
    accuracy: Any


def load(path: Path | None, short: bool) -> Images:
    """MNIST from a file, from the internet, or, for a short run without a file, something like it."""
    if path is not None:
        with np.load(path) as data:
            return Images(data["x_train"], data["y_train"], data["x_test"], data["y_test"])
    if short:
        return synthetic()
    train, test = tf_keras.datasets.mnist.load_data()
    return Images(*train, *test)


def synthetic(examples: int = 2500) -> Images:
    """Noisy copies of ten random shapes."""
    rng = np.random.default_rng(0)
    shapes = np.kron(rng.uniform(0.0, 150.0, (10, 7, 7)), np.ones((4, 4)))
    labels = rng.integers(0, 10, examples).astype(np.uint8)
    images = (shapes[labels] + rng.uniform(0.0, 100.0, (examples, 28, 28))).astype(np.uint8)
    held = examples // 5
    return Images(images[held:], labels[held:], images[:held], labels[:held])


def build(examples: int) -> Network:
    """Placeholders, three DenseFlipout layers, and the negative evidence lower bound per example as the loss."""
    images = tf.compat.v1.placeholder(tf.float32, [None, 784], name="images")
    labels = tf.compat.v1.placeholder(tf.int64, [None], name="labels")
    layers = [
        tfp.layers.DenseFlipout(256, activation="relu", name="den_1"),
        tfp.layers.DenseFlipout(256, activation="relu", name="den_2"),
        tfp.layers.DenseFlipout(10, name="den_3"),
    ]
    logits = images
    for layer in layers:
        logits = layer(logits)
    entropy = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)
    divergence = tf.add_n([term for layer in layers for term in layer.losses])
    hit = tf.equal(tf.argmax(logits, axis=-1), labels)
    return Network(
        images,
        labels,
        logits,
        loss=tf.reduce_mean(entropy) + divergence / examples,
        accuracy=tf.reduce_mean(tf.cast(hit, tf.float32)),
    )


def batches(data: Images, seed: int) -> Iterator[tuple[npt.NDArray[np.float32], npt.NDArray[np.uint8]]]:
    """Batches of the shuffled training set, epoch after epoch, without end."""
    rng = np.random.default_rng(seed)
    while True:
        order = rng.permutation(len(data.x_train))
        for start in range(0, len(order) - BATCH + 1, BATCH):
            chosen = order[start : start + BATCH]
            yield scaled(data.x_train[chosen]), data.y_train[chosen]


def scaled(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Pixels in [0, 1], `[example, pixel]`, float32."""
    return images.reshape(len(images), -1).astype(np.float32) / np.float32(255.0)


def train(data: Images, out: Path, steps: int, seed: int) -> None:
    """Train for a number of steps and write the case `out`."""
    tf.compat.v1.set_random_seed(seed)
    network = build(len(data.x_train))
    optimizer = tf.compat.v1.train.RMSPropOptimizer(1e-3)
    rank, hooks = 0, []
    if hvd is not None:
        rank, steps = hvd.rank(), max(1, steps // hvd.size())
        optimizer = hvd.DistributedOptimizer(optimizer)
        hooks.append(hvd.BroadcastGlobalVariablesHook(0))
    step = tf.compat.v1.train.get_or_create_global_step()
    update = optimizer.minimize(network.loss, global_step=step)
    heldout = (scaled(data.x_test), data.y_test)
    hooks += [
        tf.compat.v1.train.StopAtStepHook(last_step=steps),
        BPruneHook(out, keep=1, heldout=heldout, input=network.images, logits=network.logits, label=network.labels),
    ]
    feed = batches(data, seed + rank)
    with tf.compat.v1.train.MonitoredTrainingSession(hooks=hooks) as session:
        while not session.should_stop():
            x, y = next(feed)
            fetches = [update, step, network.loss, network.accuracy]
            _, number, loss, accuracy = session.run(fetches, {network.images: x, network.labels: y})
            if rank == 0 and number > 0 and number % 500 == 0:
                print(f"step {number}: loss {loss:.3f}, accuracy of the batch {accuracy:.2f}")


def main() -> None:
    """Train, write the case, and say what to do with it."""
    parser = argparse.ArgumentParser(description="Train the paper's BNN-FC on MNIST.")
    parser.add_argument("--data", type=Path, help="mnist.npz with x_train y_train x_test y_test (default: download)")
    parser.add_argument("--out", type=Path, default=Path("runs/mnist"), help="the case directory")
    parser.add_argument("--steps", type=int, default=14000, help="over all processes (default: 14000)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--short", action="store_true", help="100 steps; without --data on made-up images, offline")
    options = parser.parse_args()
    tf.compat.v1.disable_eager_execution()
    if hvd is not None:
        hvd.init()
    data = load(options.data, options.short)
    train(data, options.out, 100 if options.short else options.steps, options.seed)
    if hvd is None or hvd.rank() == 0:
        print(f"bprune inspect --case-dir {options.out}\nbprune prune --case-dir {options.out} --sparsity 0.8")


if __name__ == "__main__":
    main()
