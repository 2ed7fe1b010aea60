"""Keeping workers that each hold a whole network in step: the same statistics, the same end."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from bprune.errors import UnsupportedError
from bprune.training.distribute.collectives import Collectives
from bprune.training.distribute.digest import weight_digest

__all__ = ["Agreement", "EndTogether", "EpochTogether"]


class Agreement:
    """Two numbers that travel with the gradients: who wants to stop, and whether anybody does.

    Attributes:
        wish: 1 on a worker that wants to stop.
        agreed: The mean of the wishes of all workers at the last step.
        refusal: Why the gradients cannot be averaged, if they cannot; TensorFlow loses the type of an exception that
            is raised while it traces.
    """

    def __init__(self) -> None:
        self.wish = tf.Variable(0.0, trainable=False, name="wish_to_stop")
        self.agreed = tf.Variable(0.0, trainable=False, name="agreed_to_stop")
        self.refusal: UnsupportedError | None = None


class EpochTogether(tf_keras.callbacks.Callback):  # type: ignore[misc]
    """Goes before the user's callbacks.

    At the end of an epoch what is not trained (the moving statistics of batch normalisation) and the logs are averaged
    over workers, so that callbacks decide the same everywhere; weights that have drifted apart are set to the chief's,
    with a warning.
    """

    def __init__(self, collectives: Collectives) -> None:
        super().__init__()
        self._collectives = collectives

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Average statistics and logs, and compare weights."""
        self._average_statistics()
        if logs:
            names = sorted(name for name, value in logs.items() if np.ndim(value) == 0)
            means = np.mean(self._collectives.gather([float(logs[name]) for name in names]), axis=0)
            logs.update(zip(names, means.tolist(), strict=True))
        mark = float(int(weight_digest(self.model.trainable_variables)[:12], 16))
        if len({value for (value,) in self._collectives.gather([mark])}) > 1:
            warnings.warn(
                f"the weights of the workers differ after epoch {epoch + 1}; all go on with the chief's. Do callbacks "
                "or learning rates differ between workers?",
                UserWarning,
                stacklevel=2,
            )
            self._collectives.take_chiefs(self.model.trainable_variables)

    def _average_statistics(self) -> None:
        found = [item for item in self.model.non_trainable_variables if item.dtype.is_floating]
        if not found:
            return
        flat = np.concatenate([item.numpy().astype(np.float64).ravel() for item in found])
        mean = self._collectives.average(tf.constant(flat)).numpy()
        for item, part in zip(
            found, np.split(mean, np.cumsum([item.shape.num_elements() for item in found])[:-1]), strict=True
        ):
            item.assign(part.reshape(item.shape).astype(item.dtype.as_numpy_dtype))


class EndTogether(tf_keras.callbacks.Callback):  # type: ignore[misc]
    """Goes after the user's callbacks: where one of them stops training on one worker, all stop after the same step.

    Args:
        gather: The numbers of all workers.
        agreement: What travels with the gradients; without it, a wish to stop waits for the end of the epoch.
    """

    def __init__(self, gather: Callable[[Sequence[float]], list[list[float]]], agreement: Agreement | None) -> None:
        super().__init__()
        self._gather = gather
        self._agreement = agreement
        self._wish = False
        self._supports_tf_logs = True

    def on_train_begin(self, logs: Any = None) -> None:
        """Nobody wants to stop yet."""
        self._wish = False
        if self._agreement is not None:
            self._agreement.wish.assign(0.0)
            self._agreement.agreed.assign(0.0)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Hold a wish to stop back until the others know it."""
        self._wish = self._wish or self.model.stop_training
        self.model.stop_training = False
        if self._agreement is not None:
            self._agreement.wish.assign(float(self._wish))
            self.model.stop_training = bool(self._agreement.agreed.numpy() > 0)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Agree on whether this was the last epoch."""
        self._wish = self._wish or self.model.stop_training
        self.model.stop_training = any(value for (value,) in self._gather([float(self._wish)]))
