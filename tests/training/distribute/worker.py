"""Small trainings, run by every worker of a job: `python worker.py MODE OUT PART`; what came out goes to OUT as JSON.

PART is `whole` (everything; at its end worker 1 kills itself in the middle of a training) or `resume` (it goes on).
"""

from __future__ import annotations

import json
import os
import signal
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tensorflow as tf
import tf_keras

from bprune.errors import BPruneError
from bprune.training import BPruneCallback
from bprune.training.distribute import Distribution, distribute
from bprune.training.distribute.digest import weight_digest
from tests.training.distribute import networks

EPOCHS = 4
KILLED_IN = 2


class Watch(tf_keras.callbacks.Callback):  # type: ignore[misc]
    """Keeps a digest of the weights after every epoch, and does something after every step."""

    def __init__(self, at_step: Callable[[Any, int], None] = lambda model, step: None) -> None:
        super().__init__()
        self.digests: list[str] = []
        self.steps = 0
        self._supports_tf_logs = True
        self._at_step = at_step

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.steps += 1
        self._at_step(self.model, self.steps)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.digests.append(weight_digest(self.model.variables))


def kl_only(workers: Distribution, examples: int) -> list[float]:
    """Four steps on the KL divergence alone, as `kl / examples`; the chief's start is everybody's."""
    with workers.scope():
        model = networks.bayesian(examples)
        model.compile(workers.optimizer(tf_keras.optimizers.SGD(1.0)), networks.no_loss)
    networks.set_values(model, start=1.0 + workers.rank)
    workers.fit(model, workers.dataset(networks.batches(4)), epochs=1, steps_per_epoch=4, verbose=0)
    return networks.sums(model)


def noise_free(workers: Distribution, out: Path, watch: Watch, resumed: bool = False) -> dict[str, Any]:
    """A network that draws nothing, with an optimizer that has state."""
    with workers.scope():
        model = networks.plain()
        model.compile(workers.optimizer(tf_keras.optimizers.Adam(0.01)), networks.loss())
    if not resumed:
        networks.set_values(model, start=1.0)
    history = workers.fit(
        model,
        workers.dataset(networks.batches(4)),
        epochs=EPOCHS,
        callbacks=[watch],
        resume_dir=out,
        verbose=0,
    )
    return {"sums": networks.sums(model), "digests": watch.digests, "loss": history.history.get("loss", [])}


def case(workers: Distribution, out: Path) -> dict[str, Any]:
    """A Bayesian network with batch normalisation on shards of 13 and 12 examples writes its case."""
    watch = Watch()
    with workers.scope():
        model = networks.normalised()
        model.compile(workers.optimizer("adam"), networks.loss(), metrics=["accuracy"])
    data = workers.dataset(networks.batches(4, examples=25))
    callbacks = [watch, BPruneCallback(out, every_epochs=1, keep=2, heldout=networks.data(25))]
    history = workers.fit(model, data, epochs=2, callbacks=callbacks, verbose=0)
    return {
        "steps": watch.steps,
        "digests": watch.digests,
        "history": history.history,
        "moving_mean": model.get_layer("norm").moving_mean.numpy().tolist(),
    }


def stopped(workers: Distribution) -> int:
    """The last worker alone wants to stop after its second step; how many steps were made here."""

    def stop(model: Any, step: int) -> None:
        model.stop_training = model.stop_training or (workers.rank == workers.size - 1 and step == 2)

    watch = Watch(stop)
    with workers.scope():
        model = networks.plain()
        model.compile(workers.optimizer("sgd"), networks.loss())
    workers.fit(model, workers.dataset(networks.batches(4)), epochs=3, callbacks=[watch], verbose=0)
    return watch.steps


def equal_seeds(workers: Distribution) -> list[str]:
    """The warnings when a script seeds all workers alike."""
    tf.random.set_seed(5)
    with workers.scope():
        model = networks.plain()
        model.compile(workers.optimizer("sgd"), networks.loss())
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        workers.fit(model, workers.dataset(networks.batches(4)), epochs=1, steps_per_epoch=1, verbose=0)
    tf.random.set_seed(workers.seed)
    return [str(item.message) for item in caught if "equal seeds" in str(item.message)]


def refusals(workers: Distribution) -> dict[str, str]:
    """The errors of models that cannot be trained on ranks."""
    attempts = {
        "jit": lambda: _fit(workers, networks.plain(), workers.optimizer("sgd"), jit_compile=True),
        "optimizer": lambda: _fit(workers, networks.plain(), "sgd"),
        "sparse": lambda: _fit(workers, networks.embedded(), workers.optimizer("sgd")),
        "loss scale": lambda: workers.optimizer(tf_keras.mixed_precision.LossScaleOptimizer(tf_keras.optimizers.SGD())),
        "no batch": lambda: workers.dataset(networks.batches(4, examples=1)),
    }
    return {name: _error(attempt) for name, attempt in attempts.items()}


def _fit(workers: Distribution, model: Any, optimizer: Any, **options: Any) -> None:
    model.compile(optimizer, networks.loss(), **options)
    workers.fit(model, workers.dataset(networks.batches(4)), epochs=1, verbose=0)


def _error(attempt: Callable[[], Any]) -> str:
    try:
        attempt()
    except BPruneError as error:
        return f"{type(error).__name__}: {error}"
    return ""


def main() -> None:
    mode, folder, part = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
    with distribute(mode, seed=3, patience_s=5) as workers:
        found: dict[str, Any] = {"rank": workers.rank, "size": workers.size, "seed": workers.seed}

        def die(model: Any, step: int) -> None:
            if workers.rank == 1 and step == KILLED_IN * 4 + 2:
                os.kill(os.getpid(), signal.SIGKILL)

        if mode == "ps":
            found["kl"] = kl_only(workers, networks.EXAMPLES)
            found["case"] = case(workers, folder / f"case-{workers.rank}")
        elif part == "whole":
            found["kl"] = kl_only(workers, networks.EXAMPLES)
            found["kl of shard"] = kl_only(workers, networks.EXAMPLES // workers.size)
            found["noise free"] = noise_free(workers, folder / "uninterrupted", Watch())
            found["case"] = case(workers, folder / f"case-{workers.rank}")
            found["steps until stopped"] = stopped(workers)
            found["warnings"] = equal_seeds(workers)
            if mode == "mpi":
                found["refusals"] = refusals(workers)
        else:
            found["noise free"] = noise_free(workers, folder / "killed", Watch(), resumed=True)
        (folder / f"{part}-{workers.rank}.json").write_text(json.dumps(found))
        if part == "whole" and mode != "ps":
            noise_free(workers, folder / "killed", Watch(die))


if __name__ == "__main__":
    main()
