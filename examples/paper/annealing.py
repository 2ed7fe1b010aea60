"""The weight of the KL divergence in the loss, beta / N, constant or rising while a network trains."""

from __future__ import annotations

from typing import Any

import tf_keras

__all__ = ["KlAnnealing"]


class KlAnnealing(tf_keras.callbacks.Callback):  # type: ignore[misc]
    """Sets a variable to `final * min(1, step / (epochs * steps of an epoch))` before every step.

    Args:
        weight: A scalar tf.Variable, which the divergences of the layers are multiplied with.
        final: beta / N.
        epochs: Over how many epochs it rises, linearly from 0; may be a fraction. 0 makes it constant.
    """

    def __init__(self, weight: Any, final: float, epochs: float) -> None:
        super().__init__()
        self._supports_tf_logs = True
        self._weight = weight
        self._final = final
        self._epochs = epochs
        self._epoch = 0
        self._value: float | None = None

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Remember the epoch, which also counts those before a resume."""
        self._epoch = epoch

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Set the variable where it changes."""
        done = self._epoch + batch / self.params["steps"]
        value = self._final * min(1.0, done / self._epochs if self._epochs else 1.0)
        if value != self._value:
            self._weight.assign(value)
            self._value = value
