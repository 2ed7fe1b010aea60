"""Train a network of Sharma and Jennings (2020), Bayesian or not, on one process or many; the callback writes a case.

Beside the case lie the log, `training.csv` and `training.json`, and the state from which `--resume` goes on.

Examples:
  python examples/paper/train.py --model bnn_fc --data mnist.npz --out runs/bnn_fc
  mpiexec -n 4 python examples/paper/train.py --model vgg16 --data cifar-10-batches-bin --augment --out runs/vgg16
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

if __package__ in (None, ""):  # run as a file: the imports below start at the repository's root
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import tf_keras

from bprune.errors import BPruneError, UsageError
from bprune.training import BPruneCallback
from bprune.training.distribute import Mode, distribute
from examples.paper.annealing import KlAnnealing
from examples.paper.data import Images, batches, load, ordered_batches, pixels
from examples.paper.log import TrainingLog
from examples.paper.networks import INPUT_SHAPES, NETWORKS, BayesianLayers, DeterministicLayers, build
from examples.paper.settings import SETTINGS, Setting

STATE = "state"
"""Folder in the case directory from which a training goes on."""


@dataclass(frozen=True)
class Plan:
    """What is trained, with all choices made.

    Attributes:
        model: One of `NETWORKS`.
        bayesian: Whether its layers have posteriors.
        setting: The network's setting, with what the command line changed.
        learning_rate: At the start, for all workers.
        batches_per_step: One of each worker, or one alone with parameter servers, where workers take turns.
        steps_per_epoch: Steps of an epoch.
        kl_weight: beta; 1 is the evidence lower bound.
        seed: Seed of initial values and noise.
        augment: Whether pictures are shifted and mirrored.
    """

    model: str
    bayesian: bool
    setting: Setting
    learning_rate: float
    batches_per_step: int
    steps_per_epoch: int
    kl_weight: float
    seed: int
    augment: bool


def plan(options: argparse.Namespace, images: Images, workers: Any) -> Plan:
    """The choices of the command line, with the network's own where it says nothing.

    Raises:
        UsageError: If a worker has fewer examples than a batch.
    """
    given = {name: getattr(options, name) for name in Setting._fields if getattr(options, name, None) is not None}
    setting = SETTINGS[options.model]._replace(**given)
    together = 1 if workers.mode is Mode.PS else workers.size
    factor = together if setting.rate_per_worker and options.learning_rate is None else 1
    whole = len(images.x_train) // (setting.batch * together)
    if not whole:
        raise UsageError(
            f"{len(images.x_train)} examples are not enough for a batch of {setting.batch} on each of {together} "
            "workers",
            hint="Choose a smaller --batch.",
        )
    return Plan(
        options.model,
        not options.deterministic,
        setting,
        learning_rate=setting.learning_rate * factor,
        batches_per_step=together,
        steps_per_epoch=options.steps_per_epoch or whole,
        kl_weight=1.0 if options.kl_weight is None else options.kl_weight,
        seed=options.seed,
        augment=options.augment,
    )


def make_optimizer(chosen: Plan) -> Any:
    """The optimizer, with a learning rate that is constant or falls along half a cosine."""
    rate: Any = chosen.learning_rate
    if chosen.setting.final_rate < 1.0:
        steps = chosen.setting.epochs * chosen.steps_per_epoch
        rate = tf_keras.optimizers.schedules.CosineDecay(rate, steps, alpha=chosen.setting.final_rate)
    return getattr(tf_keras.optimizers, chosen.setting.optimizer)(rate, epsilon=chosen.setting.epsilon)


def make_model(chosen: Plan, examples: int, workers: Any) -> tuple[Any, list[Any]]:
    """The compiled model, and the callback that sets the weight of its divergence; call it in the workers' scope."""
    import tensorflow as tf

    callbacks = []
    if chosen.bayesian:
        weight = tf.Variable(0.0, trainable=False, name="kl_weight")
        callbacks.append(KlAnnealing(weight, chosen.kl_weight / examples, chosen.setting.kl_anneal_epochs))
        model = build(chosen.model, BayesianLayers(weight, chosen.setting.scale_mean, chosen.seed))
    else:
        model = build(chosen.model, DeterministicLayers(chosen.seed))
    model.compile(
        optimizer=workers.optimizer(make_optimizer(chosen)),
        loss=tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    return model, callbacks


def describe(chosen: Plan, model: Any, workers: Any, images: Images) -> dict[str, Any]:
    """What `training.json` says."""
    trainable = sum(int(variable.shape.num_elements()) for variable in model.trainable_variables)
    return {
        "model": chosen.model,
        "bayesian": chosen.bayesian,
        "distribute": workers.mode.value,
        "workers": workers.size,
        "batch": chosen.setting.batch,
        "parameters": model.count_params(),
        "trainable_parameters": trainable,
        "training_examples": len(images.x_train),
        "data": images.source,
        "augment": chosen.augment,
        "epochs": chosen.setting.epochs,
        "steps_per_epoch": chosen.steps_per_epoch,
        "optimizer": chosen.setting.optimizer,
        "epsilon": chosen.setting.epsilon,
        "learning_rate": chosen.learning_rate,
        "final_rate": chosen.setting.final_rate,
        "kl_weight": chosen.kl_weight if chosen.bayesian else None,
        "kl_anneal_epochs": chosen.setting.kl_anneal_epochs if chosen.bayesian else None,
        "seed": chosen.seed,
    }


def train(options: argparse.Namespace, workers: Any) -> None:
    """Read the data, train, and write case and log."""
    if workers.is_chief:
        check_out(options.out, options.resume)
    images = load(options.data, SETTINGS[options.model].image_shape)
    chosen = plan(options, images, workers)
    shape = INPUT_SHAPES[chosen.model]

    def shard(index: int, count: int) -> Any:
        return batches(
            images.x_train,
            images.y_train,
            batch=chosen.setting.batch,
            shape=shape,
            seed=workers.seed,
            shard=index,
            shards=count,
            augment=chosen.augment,
        )

    data = workers.dataset(shard)
    with workers.scope():
        model, callbacks = make_model(chosen, len(images.x_train), workers)
    header = describe(chosen, model, workers, images)
    heldout = (pixels(images.x_test, shape), images.y_test) if workers.is_chief else None
    callbacks += [
        TrainingLog(
            options.out,
            header,
            chosen.setting.batch * chosen.batches_per_step,
            chief=workers.is_chief,
            asynchronous=workers.mode is Mode.PS,
        ),
        BPruneCallback(options.out, every_epochs=1, keep=2, heldout=heldout),
    ]
    workers.fit(
        model,
        data,
        epochs=chosen.setting.epochs,
        steps_per_epoch=chosen.steps_per_epoch,
        callbacks=callbacks,
        validation_data=validation(options.validation_examples, images, chosen, workers),
        resume_dir=options.out / STATE,
        verbose=2,
    )


def validation(examples: int | None, images: Images, chosen: Plan, workers: Any) -> Any | None:
    """Batches of the first test examples; None where none are wanted, or with parameter servers."""
    if examples == 0 or (examples is None and workers.mode is Mode.PS):
        return None
    pictures, labels = images.x_test[:examples], images.y_test[:examples]
    return ordered_batches(pictures, labels, batch=chosen.setting.batch, shape=INPUT_SHAPES[chosen.model])


def check_out(out: Path, resume: bool) -> None:
    """Refuse to mix two trainings in one folder.

    Raises:
        UsageError: If a training was written there before and is not to go on.
    """
    if not resume and out.exists() and any(out.iterdir()):
        raise UsageError(
            f"{out} is not empty", hint="Go on with the training there with --resume, or choose another folder."
        )


def whole(least: int) -> Callable[[str], int]:
    """A reader of whole numbers from `least`."""

    def number(text: str) -> int:
        value = int(text)
        if value < least:
            raise argparse.ArgumentTypeError(f"{value} is less than {least}")
        return value

    return number


def real(least: float, most: float = float("inf"), open_below: bool = False) -> Callable[[str], float]:
    """A reader of numbers from `least` (which may be excluded) to `most`."""

    def number(text: str) -> float:
        value = float(text)
        if not least <= value <= most or (open_below and value == least):
            raise argparse.ArgumentTypeError(f"{text} is not {'above' if open_below else 'from'} {least:g} to {most:g}")
        return value

    return number


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0],
        epilog="\n".join(__doc__.splitlines()[4:]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--model", choices=list(NETWORKS), required=True)
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument("--bayesian", action="store_true", help="layers with posteriors (the default)")
    kind.add_argument("--deterministic", action="store_true", help="plain layers: a case without anything to prune")
    add("--data", required=True, metavar="SOURCE", help="mnist.npz, a CIFAR-10 .npz or folder, or keras: download")
    add("--out", type=Path, required=True, metavar="DIR", help="the case directory")
    add("--resume", action="store_true", help="go on after the last whole epoch of the training in --out")
    add("--distribute", choices=[item.value for item in Mode], help="default: mpi under mpiexec or srun, else none")
    add("--epochs", type=whole(1), help="default: 200 on CIFAR-10, 24 on MNIST")
    add("--steps-per-epoch", type=whole(1), metavar="N", help="default: the training set once")
    add("--batch", type=whole(1), metavar="N", help="examples of a step on one worker; default: 256 or 100")
    add(
        "--learning-rate",
        type=real(0.0, open_below=True),
        metavar="R",
        help="default: Adam 1e-4 x workers, RMSprop 1e-3",
    )
    add("--final-rate", type=real(0.0, 1.0), metavar="SHARE", help="share of the learning rate that is left at the end")
    add("--kl-weight", type=real(0.0), metavar="B", help="weight of the KL divergence, by N examples; default: 1")
    add("--kl-anneal-epochs", type=real(0.0), metavar="E", help="let the weight rise over E epochs; default: 50 or 0")
    add("--augment", action="store_true", help="shift and mirror the pictures (CIFAR-10)")
    add(
        "--validation-examples",
        type=whole(0),
        metavar="N",
        help="test examples after each epoch; default: all, with ps none",
    )
    add("--seed", type=whole(0), default=0)
    options = parser.parse_args()
    if options.deterministic and (options.kl_weight is not None or options.kl_anneal_epochs is not None):
        parser.error("--kl-weight and --kl-anneal-epochs go with --bayesian: plain layers have no divergence")
    if options.augment and SETTINGS[options.model].image_shape != (32, 32, 3):
        parser.error("--augment goes with CIFAR-10: a mirrored digit is another digit, or none")
    return options


def main() -> None:
    """Train, write the case, and say what to do with it."""
    options = parse()
    try:
        with distribute(options.distribute, seed=options.seed) as workers:
            train(options, workers)
            chief = workers.is_chief
    except BPruneError as error:
        print(f"Error: {error}", file=sys.stderr)
        raise SystemExit(error.exit_code) from None
    if chief:
        then = "infer" if options.deterministic else "prune"
        rest = "--mc-iters 1" if options.deterministic else "--sparsity 0.8"
        print(f"bprune inspect --case-dir {options.out}\nbprune {then} --case-dir {options.out} {rest}")


if __name__ == "__main__":
    main()
