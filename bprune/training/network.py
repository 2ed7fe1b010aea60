"""Any network that the training side accepts, described: a Keras model, a function, or a session."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bprune.case.task import Task
from bprune.errors import UnsupportedError, UsageError
from bprune.training.description import Description
from bprune.training.head import task_of_loss
from bprune.training.session import GivenRoles, describe_graph
from bprune.training.trace import describe_function, describe_model

__all__ = ["describe_network", "refuse_keras_3"]


def describe_network(
    network: Any,
    *,
    given: GivenRoles,
    task: Task | None,
    predict: Callable[[Any], Any] | None = None,
    input_spec: Any | None = None,
) -> Description:
    """Describe a Keras model, a function or a session; the arguments are those of `write_case`."""
    import tensorflow as tf
    import tf_keras

    refuse_keras_3(network)
    if hasattr(network, "run") and hasattr(network, "graph"):
        if predict is not None or input_spec is not None:
            raise UsageError("predict= and input_spec= do not go with a session", hint="Name tensors: input=, logits=.")
        return describe_graph(network.graph, given, task, lambda tensors: dict(network.run(dict(tensors))))
    if given != GivenRoles():
        raise UsageError(
            f"{', '.join(given.annotations())} go with a session only", hint="Pass predict=FUNCTION instead."
        )
    if not tf.executing_eagerly():
        raise UsageError(
            "a Keras model in a TensorFlow 1 graph is written from its session",
            hint="Pass the session in place of the model, with input= and logits=.",
        )
    if isinstance(network, tf_keras.Model):
        by_loss = task_of_loss(getattr(network, "loss", None))
        if predict is not None:  # the loss was not computed from what this function returns
            return describe_model(network, spec=input_spec, predict=predict, task=task, fallback=by_loss)
        return describe_model(network, spec=input_spec, predict=None, task=task or by_loss)
    if callable(network):
        if predict is not None:
            raise UsageError("predict= goes with a model; the function that was passed is used as it is")
        return describe_function(network, spec=input_spec, task=task)
    raise UsageError(
        f"a network of type {type(network).__name__} cannot be written",
        hint="Pass a tf_keras model, a function of one tensor, or a tf.compat.v1.Session.",
    )


def refuse_keras_3(network: Any) -> None:
    """TFP's layers are Keras 2; a Keras 3 model cannot hold them.

    Raises:
        UnsupportedError: If the network is a Keras 3 model.
    """
    modules = {base.__module__.split(".")[0] for base in type(network).__mro__}
    if "keras" in modules and "tf_keras" not in modules:
        raise UnsupportedError(
            "the model was built with Keras 3, which TensorFlow Probability's layers do not support",
            hint="Build it with `import tf_keras`, or set TF_USE_LEGACY_KERAS=1 before TensorFlow is imported.",
        )
