"""The Keras callback: `model.fit(..., callbacks=[BPruneCallback("runs/digits")])`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import tf_keras

from bprune.case.task import Task
from bprune.errors import UsageError
from bprune.training.network import describe_network, refuse_keras_3
from bprune.training.session import GivenRoles
from bprune.training.writer import CaseWriter

__all__ = ["BPruneCallback"]


class BPruneCallback(tf_keras.callbacks.Callback):  # type: ignore[misc]
    """Writes a case while a tf_keras model trains.

    LayerNames.txt, OpsNames.txt and heldout.npz are written once; checkpoints `model-<iteration>.ckpt` every
    `every_steps` steps or every `every_epochs` epochs, and at the end of training.

    Args:
        case_dir: The case directory; it is created.
        every_steps: Save after every so many training steps.
        every_epochs: Save after every so many epochs. Neither saves at the end alone.
        keep: How many checkpoints are kept; None keeps all.
        heldout: Held-out inputs `[example, ...]` and labels, written to heldout.npz.
        task: "classification" or "regression", where neither the model's output nor its loss tells.
        predict: A function of the inputs that returns logits, a TFP distribution, or (mean, standard deviation), in
            place of the model's own call.
        input_spec: tf.TensorSpec of the input, example axis first; None takes it from the model.
        chief: Whether this process writes; None finds out (tf.distribute, Horovod, MPI).

    Raises:
        UsageError: If an argument is out of range.
        UnsupportedError: At the start of training, if the model was built with Keras 3.

    Example:
        >>> model.fit(x, y, callbacks=[BPruneCallback("runs/digits", every_epochs=5, heldout=(x_test, y_test))])
    """

    def __init__(
        self,
        case_dir: str | Path,
        *,
        every_steps: int | None = None,
        every_epochs: int | None = None,
        keep: int | None = 5,
        heldout: tuple[Any, Any] | None = None,
        task: Task | str | None = None,
        predict: Callable[[Any], Any] | None = None,
        input_spec: Any | None = None,
        chief: bool | None = None,
    ) -> None:
        super().__init__()
        for name, value in (("every_steps", every_steps), ("every_epochs", every_epochs)):
            if value is not None and value < 1:
                raise UsageError(f"{name}={value} must be at least 1, or None")
        self._writer = CaseWriter(case_dir, keep=keep, heldout=heldout, chief=chief)
        self._every_steps = every_steps
        self._every_epochs = every_epochs
        self._task = Task(task) if task is not None else None
        self._predict = predict
        self._input_spec = input_spec
        self._steps = 0
        self._saved: int | None = None
        self._supports_tf_logs = True

    def set_model(self, model: Any) -> None:
        """Called by Keras before training."""
        refuse_keras_3(model)
        super().set_model(model)

    def on_train_begin(self, logs: Any = None) -> None:
        """Describe the model if it is built already, so that a mistake shows before hours of training."""
        self._steps = 0
        self._saved = None
        if self.model.built and (self._input_spec is not None or getattr(self.model, "inputs", None)):
            self._describe()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Save when the number of steps is due."""
        self._steps += 1
        if not self._writer.is_described:
            self._describe()
        if self._every_steps is not None and self._steps % self._every_steps == 0:
            self._save()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Save when the number of epochs is due."""
        if self._every_epochs is not None and (epoch + 1) % self._every_epochs == 0:
            self._save()

    def on_train_end(self, logs: Any = None) -> None:
        """Save the final values, unless they are saved already."""
        if self._steps and self._saved != self._iteration():
            self._save()

    def _describe(self) -> None:
        description = describe_network(
            self.model, given=GivenRoles(), task=self._task, predict=self._predict, input_spec=self._input_spec
        )
        self._writer.describe(description)

    def _iteration(self) -> int:
        """The optimizer's step count, which goes on over several calls of `fit`; else the steps of this one."""
        iterations = getattr(getattr(self.model, "optimizer", None), "iterations", None)
        return int(iterations.numpy()) if iterations is not None else self._steps

    def _save(self) -> None:
        iteration = self._iteration()
        self._writer.save(iteration)
        self._saved = iteration
