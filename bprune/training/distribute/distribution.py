"""What every way of distributing training offers to a script."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar

import tensorflow as tf
import tf_keras

from bprune.errors import BPruneError, UsageError
from bprune.training.chief import declared_chief
from bprune.training.distribute.mode import Mode
from bprune.training.distribute.resume import Progress
from bprune.training.distribute.seeds import global_seed, seed_after, warn_of_equal_seeds
from bprune.training.network import refuse_keras_3

__all__ = ["Distribution", "MakeDataset"]

MakeDataset = Callable[[int, int], Any]
"""`make(index, count)`: the batches of shard `index` of `count`, as a tf.data.Dataset of one epoch."""


class Distribution(ABC):
    """The workers of one training job, seen from one of them. Use it as a context manager; `distribute` makes it.

    On entry Python, NumPy and TensorFlow are seeded with `seed`, which differs per worker. An exception that leaves
    the block ends the job on all workers.

    Attributes:
        mode: How training is distributed.
        rank: This worker's number, from 0.
        size: How many workers there are. A step uses `size` batches, one of each worker, unless the mode says other.
        seed: This worker's seed.
    """

    mode: ClassVar[Mode]
    rank: int
    size: int
    seed: int

    def __init__(self) -> None:
        self._stack = ExitStack()

    @property
    def is_chief(self) -> bool:
        """Whether this is the worker that writes."""
        return self.rank == 0

    def __enter__(self) -> Distribution:
        self._stack.enter_context(declared_chief(self.is_chief))
        tf_keras.utils.set_random_seed(self.seed)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def scope(self) -> AbstractContextManager[Any]:
        """The block in which a model is built and compiled."""
        return nullcontext()

    def optimizer(self, optimizer: Any) -> Any:
        """The optimizer to compile with; the one given is not changed.

        The learning rate is the caller's: multiply it by `size` where the larger batch asks for it.

        Args:
            optimizer: A tf_keras optimizer or the name of one.
        """
        return optimizer

    def dataset(self, make: MakeDataset) -> Any:
        """This worker's batches of one epoch: as many as the worker with the fewest has.

        Args:
            make: `make(index, count)` returns the batches of shard `index` of `count`. The batch size is that of one
                worker: a step uses `size` times as many examples. Only equal batches (`drop_remainder=True`) weigh
                every example the same.

        Raises:
            UsageError: If a worker has no batch at all.
        """
        data = make(self.rank, self.size)
        fewest = min(self.gather([float(int(data.cardinality()))]))[0]
        if fewest == 0:
            raise UsageError(
                "a worker has no batch",
                hint="Use a smaller batch, fewer workers, or shard by example: data.shard(count, i).",
            )
        return data.take(int(fewest)) if fewest > 0 else data

    def take_chiefs(self, variables: Sequence[Any]) -> None:  # noqa: B027
        """Set variables to the values that they have on the chief; every worker must call it."""

    def feed(self, data: Any, done: int, steps: int) -> Any:
        """What Keras takes batches from, without end.

        Args:
            data: What `dataset` returned.
            done: How many steps were made by an earlier run.
            steps: How many an epoch has.
        """
        return data.repeat().skip(done)

    def check_validation(self, validation_data: Any) -> None:  # noqa: B027
        """Refuse data for validation where it cannot be used."""

    @abstractmethod
    def gather(self, numbers: Sequence[float]) -> list[list[float]]:
        """The numbers `[rank][item]` of all workers, on all workers; every worker must call it with as many."""

    def fit(
        self,
        model: Any,
        data: Any,
        *,
        epochs: int,
        steps_per_epoch: int | None = None,
        callbacks: Sequence[Any] = (),
        validation_data: Any | None = None,
        resume_dir: str | Path | None = None,
        verbose: int | str = "auto",
    ) -> Any:
        """Train, as `model.fit` does; every worker calls it.

        Args:
            model: A tf_keras model, compiled in `scope` with `optimizer`.
            data: What `dataset` returned.
            epochs: How many epochs there are in all, those of earlier runs included.
            steps_per_epoch: Steps of one epoch; None takes one pass over the data.
            callbacks: Keras callbacks, such as BPruneCallback, the same on every worker.
            validation_data: A tf.data.Dataset or a pair of arrays, evaluated by every worker after each epoch.
            resume_dir: A folder on a file system that the chief sees, where the state of training is kept after every
                epoch; training goes on from there.
            verbose: As in Keras; only the chief prints.

        Returns:
            The History of Keras, of the epochs run now.

        Raises:
            UsageError: If an argument does not fit, or the number of steps is not known.
            UnsupportedError: If the model or its optimizer cannot be distributed.
            InputError: If `resume_dir` holds the state of another network.
            EngineError: If a worker was lost.
        """
        refuse_keras_3(model)
        if epochs < 1:
            raise UsageError(f"epochs={epochs} must be at least 1")
        self.check(model)
        self.check_validation(validation_data)
        steps = steps_per_epoch or int(data.cardinality())
        if steps < 1:
            raise UsageError("the number of batches of an epoch is not known", hint="Pass steps_per_epoch=.")
        _build(model, data)
        progress = Progress(self, model, resume_dir, epochs)
        before, after = self.callbacks()
        done = progress.restore()
        self._warn_of_equal_seeds()
        if done:
            tf.random.set_seed(seed_after(self.seed, done))
        try:
            return model.fit(
                self.feed(data, done * steps, steps),
                epochs=epochs,
                initial_epoch=done,
                steps_per_epoch=steps,
                callbacks=[*before, *callbacks, *after, progress],
                validation_data=validation_data,
                verbose=verbose if self.is_chief else 0,
            )
        except Exception as error:
            meant = self.meaning(error)
            if meant is None:
                raise
            raise meant from error

    def check(self, model: Any) -> None:
        """Refuse a model that cannot be distributed this way.

        Raises:
            UsageError: If it was not compiled as it must be.
            UnsupportedError: If this mode does not handle it.
        """
        if getattr(model, "optimizer", None) is None:
            raise UsageError("the model is not compiled", hint="Call model.compile in workers.scope().")

    def _warn_of_equal_seeds(self) -> None:
        seed = global_seed()
        seeds = self.gather([-1.0 if seed is None else float(seed)])
        warn_of_equal_seeds([None if value < 0 else int(value) for (value,) in seeds])

    def meaning(self, error: Exception) -> BPruneError | None:
        """What an exception of TensorFlow during training means; None where it is not about distribution."""
        return None

    def callbacks(self) -> tuple[list[Any], list[Any]]:
        """Callbacks that go before and after those of the user."""
        return [], []


def _build(model: Any, data: Any) -> None:
    """Create a model's variables, and those of its optimizer, so that they can be sent to other workers."""
    if not model.built:
        inputs = data.element_spec[0] if isinstance(data.element_spec, tuple) else data.element_spec
        model(tf.nest.map_structure(lambda spec: tf.zeros([1, *spec.shape[1:]], spec.dtype), inputs), training=False)
    if hasattr(model.optimizer, "build"):
        model.optimizer.build(model.trainable_variables)
    else:
        model.optimizer._create_all_weights(model.trainable_variables)
