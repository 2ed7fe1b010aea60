"""An optimizer that averages the gradients of all workers before it uses them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf
import tf_keras

from bprune.errors import UnsupportedError, UsageError
from bprune.training.distribute.agreement import Agreement

__all__ = ["averages", "averaging_optimizer"]

Average = Callable[[Any], Any]
"""From one worker's vector to the mean over all workers, as operations of a graph."""


def averaging_optimizer(optimizer: Any, average: Average, agreement: Agreement) -> Any:
    """A copy of an optimizer which averages gradients over all workers before it clips and applies them.

    All gradients of a step travel as one vector, float32 (float64 where one of them is), with one more number: whether
    this worker wants to stop.

    Args:
        optimizer: A tf_keras optimizer, new or legacy, or the name of one; it is not changed.
        average: Averages a vector over all workers.
        agreement: Where the wish to stop is read and the mean of all wishes written.

    Raises:
        UsageError: If it is not a tf_keras optimizer.
        UnsupportedError: If it scales the loss, which every worker would do for itself. While the step is traced: if a
            gradient is sparse.
    """
    given = tf_keras.optimizers.get(optimizer) if isinstance(optimizer, str) else optimizer
    if isinstance(given, tf_keras.mixed_precision.LossScaleOptimizer):
        raise UnsupportedError(_LOSS_SCALE, hint=_BFLOAT16)
    if not isinstance(given, (tf_keras.optimizers.Optimizer, tf_keras.optimizers.legacy.Optimizer)):
        raise UsageError(
            f"an optimizer of type {type(given).__module__}.{type(given).__name__} cannot be distributed",
            hint="Pass one of tf_keras.optimizers (not of Keras 3), or its name.",
        )
    base = type(given)

    class Averaging(base):  # type: ignore[valid-type, misc]
        averages_gradients = True

        def apply_gradients(self, grads_and_vars: Any, *args: Any, **kwargs: Any) -> Any:
            return super().apply_gradients(_averaged(list(grads_and_vars), average, agreement), *args, **kwargs)

    Averaging.__name__ = base.__name__
    schedule = getattr(given, "_learning_rate", None)
    custom = {type(schedule).__name__: type(schedule)} if schedule is not None else {}
    with tf_keras.utils.custom_object_scope(custom):
        return Averaging.from_config(given.get_config())


def averages(optimizer: Any) -> bool:
    """Whether an optimizer came from `averaging_optimizer`.

    Raises:
        UnsupportedError: If it was wrapped into one that scales the loss.
    """
    if isinstance(optimizer, tf_keras.mixed_precision.LossScaleOptimizer):
        raise UnsupportedError(_LOSS_SCALE, hint=_BFLOAT16)
    return getattr(optimizer, "averages_gradients", False)


_LOSS_SCALE = "an optimizer that scales the loss (mixed_float16) cannot be distributed"
_BFLOAT16 = "Use the policy mixed_bfloat16, which needs no loss scale, or float32."


def _averaged(pairs: Sequence[tuple[Any, Any]], average: Average, agreement: Agreement) -> list[tuple[Any, Any]]:
    kept = [(gradient, variable) for gradient, variable in pairs if gradient is not None]
    for gradient, variable in kept:
        if isinstance(gradient, tf.IndexedSlices):
            agreement.refusal = UnsupportedError(
                f"the gradient of {variable.name} is sparse, which is not averaged over workers",
                hint="An Embedding layer makes such gradients: use one-hot inputs with a Dense layer, or distribute "
                "with multiworker.",
            )
            raise agreement.refusal
    dtype = tf.float64 if any(gradient.dtype == tf.float64 for gradient, _ in kept) else tf.float32
    wish = tf.cast(tf.reshape(agreement.wish, [1]), dtype)
    flat = [tf.reshape(tf.cast(gradient, dtype), [-1]) for gradient, _ in kept]
    mean = tf.ensure_shape(average(tf.concat([*flat, wish], 0)), [None])
    *parts, wishes = tf.split(mean, [*(variable.shape.num_elements() for _, variable in kept), 1])
    agreement.agreed.assign(tf.cast(wishes[0], tf.float32))
    return [
        (tf.cast(tf.reshape(part, variable.shape), gradient.dtype), variable)
        for part, (gradient, variable) in zip(parts, kept, strict=True)
    ]
