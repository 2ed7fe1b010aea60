"""Keeping workers that each hold a whole network in step: the same start, the same statistics, the same end."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from bprune.errors import UnsupportedError
from bprune.training.distribute.collectives import Collectives
from bprune.training.distribute.digest import weight_digest
from bprune.training.distribute.seeds import global_seed, warn_of_equal_seeds

__all__ = ["Agreement", "EndTogether", "StartTogether"]


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


class StartTogether(tf_keras.callbacks.Callback):  # type: ignore[misc]
    """Goes before the user's callbacks.

    At the start all variables of the model and its optimizer are set to the chief's. At the end of an epoch what is
    not trained (the moving statistics of batch normalisation) and the logs are averaged over workers, so that
    callbacks decide the same everywhere; weights that have drifted apart are set to the chief's, with a warning.
    """

    def __init__(self, collectives: Collectives) -> None:
        super().__init__()
        self._collectives = collectives

    def on_train_begin(self, logs: Any = None) -> None:
        """Start from the chief's values."""
        seed = global_seed()
        seeds = self._collectives.gather([-1.0 if seed is None else float(seed)])
        warn_of_equal_seeds([None if value < 0 else int(value) for (value,) in seeds])
        variables = self.model.optimizer.variables
        self._take_chiefs([*self.model.variables, *(variables() if callable(variables) else variables)])

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
            self._take_chiefs(self.model.trainable_variables)

    def _take_chiefs(self, variables: list[Any]) -> None:
        for variable in variables:
            variable.assign(self._collectives.from_chief(variable.numpy()))

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
    """Goes after the user's callbacks: where one of them stops training on one worker, all stop after the same step."""

    def __init__(self, collectives: Collectives, agreement: Agreement) -> None:
        super().__init__()
        self._collectives = collectives
        self._agreement = agreement
        self._supports_tf_logs = True

    def on_train_begin(self, logs: Any = None) -> None:
        """Nobody wants to stop yet."""
        self._agreement.wish.assign(0.0)
        self._agreement.agreed.assign(0.0)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Hold a wish to stop back until it has travelled with the next step's gradients."""
        if self.model.stop_training:
            self._agreement.wish.assign(1.0)
        self.model.stop_training = bool(self._agreement.agreed.numpy() > 0)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Agree on whether this was the last epoch."""
        wish = self.model.stop_training or self._agreement.wish.numpy() > 0
        self.model.stop_training = any(value for (value,) in self._collectives.gather([float(wish)]))
