"""Train a Bayesian network on scikit-learn's handwritten digits; the Keras callback writes the case.

Example:
  python examples/digits.py --network conv --out runs/digits_conv
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import tensorflow_probability as tfp
import tf_keras
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from bprune.training import BPruneCallback

BATCH = 100


class Setting(NamedTuple):
    """How a network is trained unless the command line says otherwise, and how to prune what comes out.

    Attributes:
        kl_weight: Weight of the KL divergence: 1 is the evidence lower bound, less gives a tempered posterior.
        initial_scale: Mean of the initial untransformed scales; a weight's sigma is the softplus of its own.
        learning_rate: RMSProp's first step size, which decays to a hundredth.
        keep: How many checkpoints are kept, out of one at half time and one at the end.
        prune: Options of `bprune prune` that suit the signal-to-noise ratios.
    """

    kl_weight: float
    initial_scale: float
    learning_rate: float
    keep: int
    prune: str


SETTINGS = {
    # The textbook: SNRs around 1, where a fixed threshold of 10 would remove everything.
    "fc": Setting(kl_weight=1.0, initial_scale=-3.0, learning_rate=1e-3, keep=2, prune=" --sparsity 0.5"),
    # Small initial scales, as the paper's VGG has them, and a tempered posterior: SNRs up to the hundreds.
    "conv": Setting(kl_weight=0.07, initial_scale=-9.0, learning_rate=1e-2, keep=1, prune=""),
}


@dataclass(frozen=True)
class Digits:
    """1,797 images of 8 x 8 pixels, split once and for all: 80 % for training, stratified by class.

    Attributes:
        x_train: `[example, row, column, channel]`, float32, in [0, 1].
        y_train: `[example]`, int64, the digit.
        x_test: Held-out images.
        y_test: Held-out labels.
    """

    x_train: npt.NDArray[np.float32]
    y_train: npt.NDArray[np.int64]
    x_test: npt.NDArray[np.float32]
    y_test: npt.NDArray[np.int64]


def load() -> Digits:
    """The digits with the pixels divided by 16, their largest value."""
    pixels, labels = load_digits(return_X_y=True)
    images = (pixels / 16.0).astype(np.float32).reshape(-1, 8, 8, 1)
    x_train, x_test, y_train, y_test = train_test_split(
        images, labels.astype(np.int64), test_size=0.2, stratify=labels, random_state=0
    )
    return Digits(x_train, y_train, x_test, y_test)


def build(network: str, examples: int, kl_weight: float, initial_scale: float) -> Any:
    """A network that outputs logits; each layer adds `kl_weight / examples` times its KL divergence to the loss.

    Args:
        network: "fc" for three dense layers, "conv" for a small version of the paper's BNN-Conv.
        examples: Size of the training set, over which the KL divergence is shared out.
        kl_weight: See `Setting`.
        initial_scale: See `Setting`.
    """
    bayesian = {
        "kernel_posterior_fn": tfp.layers.default_mean_field_normal_fn(
            untransformed_scale_initializer=tf_keras.initializers.RandomNormal(mean=initial_scale, stddev=0.1)
        ),
        "kernel_divergence_fn": lambda q, p, _: tfp.distributions.kl_divergence(q, p) * (kl_weight / examples),
    }
    if network == "fc":
        layers = [
            tf_keras.layers.Flatten(),
            tfp.layers.DenseFlipout(64, activation="relu", name="den_1", **bayesian),
            tfp.layers.DenseFlipout(64, activation="relu", name="den_2", **bayesian),
            tfp.layers.DenseFlipout(10, name="den_3", **bayesian),
        ]
    else:
        layers = [
            tfp.layers.Convolution2DFlipout(32, 3, padding="same", activation="relu", name="conv_1", **bayesian),
            tf_keras.layers.MaxPooling2D(2),
            tfp.layers.Convolution2DFlipout(64, 3, padding="same", activation="relu", name="conv_2", **bayesian),
            tf_keras.layers.MaxPooling2D(2),
            tf_keras.layers.Flatten(),
            tfp.layers.DenseFlipout(10, name="den_1", **bayesian),
        ]
    return tf_keras.Sequential([tf_keras.Input([8, 8, 1]), *layers], name=f"digits_{network}")


def train(model: Any, digits: Digits, out: Path, epochs: int, setting: Setting) -> None:
    """Minimise the negative log likelihood plus the KL divergence and write the case `out`."""
    steps = epochs * -(-len(digits.x_train) // BATCH)
    rate = tf_keras.optimizers.schedules.CosineDecay(setting.learning_rate, steps, alpha=0.01)
    model.compile(
        optimizer=tf_keras.optimizers.RMSprop(rate),
        loss=tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    heldout = (digits.x_test, digits.y_test)
    callback = BPruneCallback(out, every_epochs=max(1, epochs // 2), keep=setting.keep, heldout=heldout)
    model.fit(digits.x_train, digits.y_train, batch_size=BATCH, epochs=epochs, callbacks=[callback], verbose=2)


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="Train a Bayesian network on scikit-learn's handwritten digits.")
    parser.add_argument("--network", choices=sorted(SETTINGS), default="conv")
    parser.add_argument("--out", type=Path, help="the case directory (default: runs/digits_NETWORK)")
    parser.add_argument("--epochs", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kl-weight", type=float, help="1 is the evidence lower bound (default: fc 1, conv 0.07)")
    parser.add_argument("--initial-scale", type=float, help="initial untransformed scale (default: fc -3, conv -9)")
    parser.add_argument("--short", action="store_true", help="two epochs only, to see that everything works")
    return parser.parse_args()


def main() -> None:
    """Train, write the case, and say what to do with it."""
    options = parse()
    setting = SETTINGS[options.network]
    out = options.out or Path("runs") / f"digits_{options.network}"
    tf_keras.utils.set_random_seed(options.seed)
    digits = load()
    model = build(
        options.network,
        examples=len(digits.x_train),
        kl_weight=setting.kl_weight if options.kl_weight is None else options.kl_weight,
        initial_scale=setting.initial_scale if options.initial_scale is None else options.initial_scale,
    )
    train(model, digits, out, epochs=2 if options.short else options.epochs, setting=setting)
    print(f"bprune inspect --case-dir {out}\nbprune prune --case-dir {out}{setting.prune}")


if __name__ == "__main__":
    main()
