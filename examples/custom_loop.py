"""Train a subclassed model in a loop of one's own; one call of `write_case` writes the case.

Example:
  python examples/custom_loop.py --out runs/moons
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import tensorflow as tf
import tensorflow_probability as tfp
import tf_keras
from sklearn.datasets import make_moons

from bprune.training import write_case

EXAMPLES = 1000
BATCH = 100


class Moons(tf_keras.Model):  # type: ignore[misc]
    """Two Bayesian hidden layers and logits of two classes."""

    def __init__(self) -> None:
        super().__init__(name="moons")
        self.den_1 = tfp.layers.DenseFlipout(32, activation="relu", name="den_1")
        self.den_2 = tfp.layers.DenseReparameterization(32, activation="relu", name="den_2")
        self.den_3 = tfp.layers.DenseFlipout(2, name="den_3")

    def call(self, inputs: Any) -> Any:
        """Logits `[example, class]` of the points `[example, coordinate]`."""
        return self.den_3(self.den_2(self.den_1(inputs)))


def train(model: Any, points: Any, labels: Any, steps: int, seed: int) -> None:
    """Minimise the negative log likelihood plus the KL divergence, shared out over the examples."""
    optimizer = tf_keras.optimizers.Adam(1e-2)
    batches = tf.data.Dataset.from_tensor_slices((points, labels)).shuffle(EXAMPLES, seed=seed).repeat().batch(BATCH)

    @tf.function  # type: ignore[untyped-decorator]
    def step(x: Any, y: Any) -> Any:
        with tf.GradientTape() as tape:
            entropy = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=y, logits=model(x))
            loss = tf.reduce_mean(entropy) + tf.add_n(model.losses) / EXAMPLES
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
        return loss

    for number, (x, y) in enumerate(batches.take(steps), start=1):
        loss = step(x, y)
        if number % 500 == 0 or number == steps:
            print(f"step {number}: loss {float(loss):.3f}")


def main() -> None:
    """Train, write the case, and say what to do with it."""
    parser = argparse.ArgumentParser(description="Train a Bayesian network on the two moons in a custom loop.")
    parser.add_argument("--out", type=Path, default=Path("runs/moons"), help="the case directory")
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--short", action="store_true", help="100 steps only, to see that everything works")
    options = parser.parse_args()
    steps = 100 if options.short else options.steps
    tf_keras.utils.set_random_seed(options.seed)
    points, labels = make_moons(n_samples=EXAMPLES + 200, noise=0.15, random_state=options.seed)
    points = points.astype("float32")
    model = Moons()
    train(model, points[:EXAMPLES], labels[:EXAMPLES], steps, options.seed)
    heldout = (points[EXAMPLES:], labels[EXAMPLES:])
    write_case(options.out, model, iteration=steps, heldout=heldout, task="classification")
    print(f"bprune inspect --case-dir {options.out}\nbprune prune --case-dir {options.out} --sparsity 0.8")


if __name__ == "__main__":
    main()
