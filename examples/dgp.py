"""Train a deep Gaussian process with random Fourier features: a Bayesian network with kernels of low rank.

`random_features.py` holds the network. Cutajar, Bonilla, Michiardi and Filippone (2017), "Random feature expansions for
deep Gaussian processes", ICML.

Examples:
  python examples/dgp.py --out runs/dgp_wave
  python examples/dgp.py --data diabetes --out runs/dgp_diabetes
  python examples/dgp.py --data mnist.npz --out runs/dgp_mnist
"""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path
from typing import Any, NamedTuple

if __package__ in (None, ""):  # run as a file: the imports below start at the repository's root
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import numpy.typing as npt
import tensorflow as tf
import tf_keras

from bprune.errors import BPruneError, InputError, MissingFileError
from bprune.training import BPruneCallback
from bprune.training.distribute import Distribution, Mode, distribute
from examples.random_features import FREQUENCIES, Design, Floats, build


class Setting(NamedTuple):
    """How long a deep GP is trained unless the command line says otherwise.

    Attributes:
        epochs: Passes over the training data.
        batch: Examples of a step of one worker.
        learning_rate: Adam's first step size, which decays to a hundredth.
    """

    epochs: int
    batch: int
    learning_rate: float


SMALL, LARGE = Setting(epochs=300, batch=100, learning_rate=1e-2), Setting(epochs=9, batch=250, learning_rate=3e-3)
"""Of up to 10,000 examples, and of more."""


class Data(NamedTuple):
    """Examples for training and held-out ones.

    Attributes:
        x_train: `[example, feature]`, float32, standardised.
        y_train: `[example]`, int64, the class; or `[example, output]`, float32.
        x_test: Held-out inputs.
        y_test: Held-out labels or targets.
    """

    x_train: Floats
    y_train: npt.NDArray[Any]
    x_test: Floats
    y_test: npt.NDArray[Any]

    @property
    def is_classification(self) -> bool:
        """Whether the targets are classes."""
        return self.y_train.ndim == 1


def wave() -> Data:
    """One input with a gap in the training data, a target whose frequency grows; held-out inputs reach beyond."""

    def targets(inputs: Any, rng: np.random.Generator) -> Floats:
        noisy = np.sin(2.0 * inputs + 0.5 * inputs**2) + 0.1 * rng.standard_normal(inputs.shape)
        return np.asarray(noisy[:, None], np.float32)

    rng = np.random.default_rng(0)
    x_train = rng.uniform(-2.0, 1.0, 800)
    x_train = np.where(x_train > 0.0, x_train + 1.0, x_train)
    x_test = np.linspace(-2.5, 2.5, 361)
    return Data(
        x_train[:, None].astype(np.float32),
        targets(x_train, rng),
        x_test[:, None].astype(np.float32),
        targets(x_test, rng),
    )


def diabetes() -> Data:
    """442 patients, 10 inputs (scikit-learn's bundled data): the progression of the disease a year later."""
    from sklearn.datasets import load_diabetes
    from sklearn.model_selection import train_test_split

    inputs, targets = load_diabetes(return_X_y=True)
    x_train, x_test, y_train, y_test = train_test_split(inputs, targets[:, None], test_size=0.2, random_state=0)
    centre, spread = x_train.mean(0), x_train.std(0)
    scaled = [((item - centre) / spread).astype(np.float32) for item in (x_train, x_test)]
    return Data(scaled[0], y_train.astype(np.float32), scaled[1], y_test.astype(np.float32))


def arrays(x_train: Any, y_train: Any, x_test: Any, y_test: Any) -> Data:
    """Arrays of any shape and scale: inputs flat, centred, with a mean square of 1 on average."""
    flat = [np.asarray(item, np.float32).reshape(len(item), -1) for item in (x_train, x_test)]
    centre, spread = flat[0].mean(0), flat[0].std()
    scaled = [((item - centre) / spread).astype(np.float32) for item in flat]
    if np.issubdtype(y_train.dtype, np.integer):
        return Data(scaled[0], y_train.astype(np.int64).reshape(-1), scaled[1], y_test.astype(np.int64).reshape(-1))
    targets = [np.asarray(item, np.float32).reshape(len(item), -1) for item in (y_train, y_test)]
    return Data(scaled[0], targets[0], scaled[1], targets[1])


def load(name: str) -> Data:
    """The data that `--data` names."""
    if name in {"wave", "diabetes"}:
        return wave() if name == "wave" else diabetes()
    if name == "keras":
        train, test = tf_keras.datasets.mnist.load_data()
        return arrays(*train, *test)
    keys = ("x_train", "y_train", "x_test", "y_test")
    if not Path(name).is_file():
        raise MissingFileError(f"--data {name}: there is no such file, and it is not wave, diabetes or keras")
    with np.load(name, allow_pickle=False) as file:
        missing = [key for key in keys if key not in file]
        if missing:
            raise InputError(f"{name} has no {missing[0]}; it needs {', '.join(keys)}")
        return arrays(*(file[key] for key in keys))


def train(options: argparse.Namespace, data: Data, workers: Distribution) -> None:
    """Minimise the negative evidence lower bound per example and write the case."""
    examples = len(data.x_train)
    setting = LARGE if examples > 10_000 else SMALL
    batch = min(options.batch or setting.batch, examples // workers.size)

    def batches(index: int, count: int) -> Any:
        whole = tf.data.Dataset.from_tensor_slices((data.x_train, data.y_train)).shard(count, index)
        return whole.shuffle(examples, seed=workers.seed).batch(batch, drop_remainder=True)

    dataset = workers.dataset(batches)
    epochs = 2 if options.short else options.epochs or setting.epochs
    steps = epochs * int(dataset.cardinality())
    rate = tf_keras.optimizers.schedules.CosineDecay(
        options.learning_rate or setting.learning_rate, max(steps, 1), alpha=0.01
    )
    with workers.scope():
        model = build(
            inputs=data.x_train.shape[1],
            outputs=int(data.y_train.max()) + 1 if data.is_classification else data.y_train.shape[1],
            design=design_of(options, share=options.kl_weight / examples),
            targets=None if data.is_classification else data.y_train,
        )
        model.compile(
            optimizer=workers.optimizer(tf_keras.optimizers.Adam(rate)),
            loss=tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True)
            if data.is_classification
            else negative_log_density,
            metrics=["accuracy"] if data.is_classification else [],
        )
    callback = BPruneCallback(options.out, keep=1, heldout=(data.x_test, data.y_test))
    workers.fit(model, dataset, epochs=epochs, callbacks=[callback], resume_dir=options.resume_dir, verbose=2)


def negative_log_density(targets: Any, predictions: Any) -> Any:
    """The loss of a regression."""
    return -predictions.log_prob(targets)


def design_of(options: argparse.Namespace, share: float) -> Design:
    """The design that the command line asks for."""
    return Design(
        layers=options.layers,
        features=options.features,
        gps=options.gps,
        frequencies=options.frequencies,
        feed_forward=not options.no_feed_forward,
        lengthscale=options.lengthscale,
        initial_noise=options.initial_noise,
        share=share,
    )


def positive(text: str) -> float:
    """A number above 0, from the command line."""
    number = float(text)
    if not 0.0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return number


def count(text: str) -> int:
    """A number of things, at least one."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number above 0")
    return int(text)


def parse() -> argparse.Namespace:
    """The command line."""
    choices = "; ".join(f"{name}: {text}" for name, text in FREQUENCIES.items())
    parser = argparse.ArgumentParser(description="Train a deep Gaussian process with random Fourier features.")
    parser.add_argument(
        "--data",
        default="wave",
        help="wave (made, one input), diabetes (scikit-learn's), keras (downloads MNIST), or an npz file with x_train, "
        "y_train, x_test and y_test, where whole numbers are classes and others a regression (default: wave)",
    )
    parser.add_argument("--out", type=Path, help="the case directory (default: runs/dgp_DATA)")
    parser.add_argument("--layers", type=count, default=2, help="GP layers (default: 2)")
    parser.add_argument("--features", type=count, default=500, help="frequencies of a layer (default: 500)")
    parser.add_argument("--gps", type=count, default=50, help="GPs of each layer but the last (default: 50)")
    parser.add_argument("--frequencies", choices=FREQUENCIES, default="var-resampled", help=choices)
    parser.add_argument("--no-feed-forward", action="store_true", help="only the first layer sees the inputs")
    parser.add_argument(
        "--lengthscale", type=positive, default=1.0, help="the first one, over the root of the number of inputs"
    )
    parser.add_argument(
        "--initial-noise", type=positive, default=0.1, help="of var-resampled frequencies, relative to the prior"
    )
    parser.add_argument(
        "--kl-weight", type=positive, default=0.1, help="1 is the evidence lower bound, less is tempered (default: 0.1)"
    )
    parser.add_argument("--epochs", type=count, help="default: 300, and 9 above 10,000 examples")
    parser.add_argument("--batch", type=count, help="of one worker (default: 100, and 250 above 10,000 examples)")
    parser.add_argument("--learning-rate", type=positive, help="default: 0.01, and 0.003 above 10,000 examples")
    parser.add_argument(
        "--distribute", choices=[item.value for item in Mode], help="default: mpi under mpiexec or srun, else none"
    )
    parser.add_argument(
        "--resume-dir", type=Path, help="where the state is kept after every epoch, to go on from there"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--short", action="store_true", help="two epochs only, to see that everything works")
    return parser.parse_args()


def main() -> None:
    """Train, write the case, and say what to do with it."""
    options = parse()
    options.out = options.out or Path("runs") / f"dgp_{Path(options.data).stem}"
    try:
        with distribute(options.distribute, seed=options.seed) as workers:
            train(options, load(options.data), workers)
            chief = workers.is_chief
    except BPruneError as error:
        print(f"Error: {error}", file=sys.stderr)
        raise SystemExit(error.exit_code) from None
    if chief:
        print(f"bprune inspect --case-dir {options.out}\nbprune prune --case-dir {options.out} --sparsity 0.8")


if __name__ == "__main__":
    main()
