"""What a model's output means: logits of a classifier, or means and standard deviations of a regression."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bprune.case.output import Output
from bprune.case.task import Task
from bprune.errors import AmbiguousCaseError, UnsupportedError

__all__ = ["Head", "read_head", "task_of_loss"]

_SAME = ("Identity", "StopGradient")
_CLASSIFICATION_LOSSES = ("crossentropy", "cross_entropy", "focal", "hinge")
_REGRESSION_LOSSES = (
    *("mse", "mae", "mape", "msle", "squared_error", "squarederror", "absolute", "squaredlogarithmic"),
    *("squared_logarithmic", "huber", "logcosh", "log_cosh", "poisson"),
)


@dataclass(frozen=True)
class Head:
    """The outputs of a model that BPrune keeps.

    Attributes:
        kind: What `values` holds.
        values: Logits or probabilities `[example, class]`, or predictive means `[example, ...]`; a symbolic tensor.
        scale: Predictive standard deviations, or None.
    """

    kind: Output
    values: Any
    scale: Any | None = None


def read_head(output: Any, task: Task | None, fallback: Task | None = None) -> Head:
    """Read a model's output while it is traced.

    Args:
        output: A tensor, a TFP distribution, a pair (mean, standard deviation), or a mapping with the keys `mean` (or
            `loc`) and `stddev` (or `scale`).
        task: What the network predicts, where the user or the loss tells.
        fallback: What it predicts if neither `task` nor the output tells.

    Raises:
        AmbiguousCaseError: If nothing tells what the output means.
        UnsupportedError: If the output has a form that BPrune does not handle.
    """
    if isinstance(output, (tuple, list)) and len(output) == 1:
        output = output[0]
    if hasattr(output, "logits_parameter"):
        return Head(Output.LOGITS, output.logits_parameter())
    if hasattr(output, "log_prob") and hasattr(output, "stddev"):
        return Head(Output.PREDICTION, output.mean(), output.stddev())
    if isinstance(output, Mapping):
        return _of_mapping(output)
    if isinstance(output, (tuple, list)):
        if len(output) == 2 and task is not Task.CLASSIFICATION:
            return Head(Output.PREDICTION, output[0], output[1])
        raise UnsupportedError(f"the model has {len(output)} outputs", hint=_PREDICT)
    return _of_tensor(output, task, fallback)


_PREDICT = "Pass predict=FUNCTION, a function of the inputs that returns logits, or (mean, standard deviation)."


def _of_mapping(output: Mapping[str, Any]) -> Head:
    mean = output.get("mean", output.get("loc"))
    scale = output.get("stddev", output.get("scale"))
    if mean is not None:
        return Head(Output.PREDICTION, mean, scale)
    if "logits" in output:
        return Head(Output.LOGITS, output["logits"])
    raise UnsupportedError(f"the model's outputs are named {', '.join(output)}", hint=_PREDICT)


def _of_tensor(output: Any, task: Task | None, fallback: Task | None) -> Head:
    operation = output.op
    while operation.type in _SAME:
        operation = operation.inputs[0].op
    if task is not Task.REGRESSION:
        if operation.type == "Softmax":
            return Head(Output.LOGITS, operation.inputs[0])
        if operation.type == "Sigmoid":
            if output.shape.rank and output.shape.rank > 1 and output.shape[-1] != 1:
                raise UnsupportedError(
                    f"the model ends in a sigmoid with {output.shape[-1]} columns, which is a multi-label classifier",
                    hint="BPrune handles one label per example; pass predict=FUNCTION to choose one column.",
                )
            return Head(Output.LOGITS, operation.inputs[0])
    task = task or fallback
    if task is None:
        raise AmbiguousCaseError(
            "it is not clear what the model's output means",
            hint="Pass task='classification' (the output is logits) or task='regression'.",
        )
    return Head(Output.LOGITS if task is Task.CLASSIFICATION else Output.PREDICTION, output)


def task_of_loss(loss: Any) -> Task | None:
    """What a compiled Keras model predicts, from the name of its loss; None when the name does not tell."""
    name = (loss if isinstance(loss, str) else getattr(loss, "__name__", "") or type(loss).__name__).lower()
    if any(word in name for word in _CLASSIFICATION_LOSSES):
        return Task.CLASSIFICATION
    if any(word in name for word in _REGRESSION_LOSSES):
        return Task.REGRESSION
    return None
