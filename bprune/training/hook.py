"""The TensorFlow 1 hook: `MonitoredTrainingSession(hooks=[BPruneHook("runs/mnist", logits=logits)])`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tensorflow as tf

from bprune.case.task import Task
from bprune.errors import UsageError
from bprune.training.session import GivenRoles, describe_graph
from bprune.training.writer import CaseWriter

__all__ = ["BPruneHook"]


class BPruneHook(tf.compat.v1.train.SessionRunHook):  # type: ignore[misc]
    """Writes a case while a TensorFlow 1 graph trains, alone or under Horovod.

    LayerNames.txt, OpsNames.txt and heldout.npz are written once; checkpoints `model-<iteration>.ckpt` every
    `every_steps` global steps and at the end. The graph needs a global step. A plain script without a
    MonitoredTrainingSession calls `begin()` once, `after_create_session(session)` once, and `save(session, iteration)`.

    Args:
        case_dir: The case directory; it is created.
        every_steps: Save whenever the global step passes a multiple of this; None saves at the end alone.
        keep: How many checkpoints are kept; None keeps all.
        heldout: Held-out inputs `[example, ...]` and labels, written to heldout.npz.
        task: "classification" or "regression", where the graph does not tell.
        chief: Whether this process writes; None finds out (Horovod, tf.distribute, MPI).
        input: The input tensor or its name. Like the next ones it is found if it is not given.
        logits: The logits of a classifier.
        prediction: The predictive mean of a regression.
        prediction_scale: Its predictive standard deviation.
        label: The label placeholder.
        log_prob: The log likelihood of the labels.
        accuracy: The accuracy.

    Raises:
        UsageError: If an argument is out of range.
        InputError: At `begin()`, if a tensor does not exist or a role cannot be found.
    """

    def __init__(
        self,
        case_dir: str | Path,
        *,
        every_steps: int | None = None,
        keep: int | None = 5,
        heldout: tuple[Any, Any] | None = None,
        task: Task | str | None = None,
        chief: bool | None = None,
        input: Any = None,  # noqa: A002
        logits: Any = None,
        prediction: Any = None,
        prediction_scale: Any = None,
        label: Any = None,
        log_prob: Any = None,
        accuracy: Any = None,
    ) -> None:
        if every_steps is not None and every_steps < 1:
            raise UsageError(f"every_steps={every_steps} must be at least 1, or None")
        self._writer = CaseWriter(case_dir, keep=keep, heldout=heldout, chief=chief)
        self._every_steps = every_steps
        self._task = Task(task) if task is not None else None
        self._given = GivenRoles(input, logits, prediction, prediction_scale, label, log_prob, accuracy)
        self._global_step: Any = None
        self._session: Any = None
        self._saved = -1
        self._last = 0

    def begin(self) -> None:
        """Describe the default graph; called before the session exists."""
        graph = tf.compat.v1.get_default_graph()
        self._global_step = tf.compat.v1.train.get_global_step(graph)
        description = describe_graph(graph, self._given, self._task, self._evaluate)
        self._writer.describe(description)

    def _evaluate(self, tensors: Any) -> Any:
        return self._session.run(dict(tensors))

    def after_create_session(self, session: Any, coord: Any = None) -> None:
        """Remember where the global step begins."""
        if self._global_step is not None:
            self._last = int(session.run(self._global_step))

    def before_run(self, run_context: Any) -> Any:
        """Ask for the global step with every step."""
        if self._global_step is None:
            raise UsageError(
                "the graph has no global step, so the hook cannot count",
                hint="Create it with tf.compat.v1.train.get_or_create_global_step() and pass it to minimize().",
            )
        return tf.compat.v1.train.SessionRunArgs(self._global_step)

    def after_run(self, run_context: Any, run_values: Any) -> None:
        """Save when the global step has passed a multiple of `every_steps`."""
        if self._every_steps is None:
            return
        step = int(run_context.session.run(self._global_step))
        if step // self._every_steps > self._last // self._every_steps:
            self.save(run_context.session, step)
        self._last = step

    def end(self, session: Any) -> None:
        """Save the final values, unless they are saved already."""
        step = int(session.run(self._global_step)) if self._global_step is not None else 0
        if step != self._saved:
            self.save(session, step)

    def save(self, session: Any, iteration: int) -> Path | None:
        """Write a checkpoint of the session's current values.

        Returns:
            The checkpoint's prefix, or None in a process that does not write.

        Raises:
            OutputError: If a file cannot be written.
        """
        self._session = session
        try:
            prefix = self._writer.save(iteration)
        finally:
            self._session = None
        self._saved = iteration
        return prefix
