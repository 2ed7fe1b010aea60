"""Write a case from a custom training loop, in one call."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from bprune.case.task import Task
from bprune.training.network import describe_network
from bprune.training.session import GivenRoles
from bprune.training.writer import CaseWriter

__all__ = ["write_case"]


def write_case(
    case_dir: str | Path,
    network: Any,
    *,
    iteration: int = 0,
    heldout: tuple[Any, Any] | None = None,
    task: Task | str | None = None,
    predict: Callable[[Any], Any] | None = None,
    input_spec: Any | None = None,
    chief: bool | None = None,
    input: Any = None,  # noqa: A002
    logits: Any = None,
    prediction: Any = None,
    prediction_scale: Any = None,
    label: Any = None,
    log_prob: Any = None,
    accuracy: Any = None,
) -> Path | None:
    """Write a case: LayerNames.txt, OpsNames.txt, `model-<iteration>.ckpt` with its `.meta`, and held-out data.

    Args:
        case_dir: The case directory; it is created. Files of the same iteration are replaced.
        network: A tf_keras model, a function of one tensor (such as a tf.function), or a TensorFlow 1 session.
        iteration: The training iteration.
        heldout: Held-out inputs `[example, ...]` and labels, written to heldout.npz.
        task: "classification" or "regression", where the model does not tell. A classifier's output counts as logits
            unless it comes from a softmax.
        predict: With a model: a function of the inputs that returns logits, a TFP distribution, or (mean, standard
            deviation), in place of the model's own call.
        input_spec: With a function, or a model that was never called: tf.TensorSpec of the input, example axis first.
        chief: Whether this process writes; None finds out (tf.distribute, Horovod, MPI).
        input: With a session: the input tensor or its name. Like the next ones it is found if it is not given.
        logits: With a session: the logits of a classifier.
        prediction: With a session: the predictive mean of a regression.
        prediction_scale: With a session: its predictive standard deviation.
        label: With a session: the label placeholder.
        log_prob: With a session: the log likelihood of the labels.
        accuracy: With a session: the accuracy.

    Returns:
        The checkpoint's prefix, or None in a process that does not write.

    Raises:
        UnsupportedError: If the model was built with Keras 3 or cannot be expressed as a graph over variables.
        AmbiguousCaseError: If it is not clear what the network predicts.
        UsageError: If an argument does not fit the kind of network.
        OutputError: If a file cannot be written.

    Example:
        >>> write_case("runs/digits", model, iteration=1000, heldout=(x_test, y_test))
    """
    given = GivenRoles(input, logits, prediction, prediction_scale, label, log_prob, accuracy)
    writer = CaseWriter(case_dir, heldout=heldout, chief=chief)
    chosen = Task(task) if task is not None else None
    writer.describe(describe_network(network, given=given, task=chosen, predict=predict, input_spec=input_spec))
    return writer.save(iteration)
