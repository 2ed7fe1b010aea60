"""Which tensor of a graph is the network's output, and what it holds."""

from __future__ import annotations

import enum
from typing import Any

from bprune.case.names import OpsNames
from bprune.case.nodes import Nodes, existing_tensor, is_control, node_of, tensor_name
from bprune.case.task import Task
from bprune.errors import AmbiguousCaseError, InputError

__all__ = ["CROSS_ENTROPIES", "Output", "find_output", "is_gradient"]

CROSS_ENTROPIES = frozenset({"SoftmaxCrossEntropyWithLogits", "SparseSoftmaxCrossEntropyWithLogits"})
"""Operations whose first input is logits and whose second input is labels."""

_SAME = frozenset({"Identity", "StopGradient", "EnsureShape", "PreventGradient"})


class Output(str, enum.Enum):
    """What the output tensor holds."""

    LOGITS = "logits"
    """Unnormalised log probabilities; one column is the logit of the second of two classes."""

    PROBABILITIES = "probabilities"
    """Class probabilities, as they are."""

    PREDICTION = "prediction"
    """Predictive means of a regression."""


def find_output(nodes: Nodes, names: OpsNames, output_op: str | None, task: Task | None) -> tuple[str, Output, str]:
    """The output tensor, what it holds, and how it was found; the arguments are those of `find_roles`.

    Raises:
        AmbiguousCaseError: If several tensors could be meant.
        InputError: If the name does not exist, or the task contradicts OpsNames.txt.
    """
    if output_op is not None:
        tensor = existing_tensor(nodes, output_op) or output_op
        return _annotated_output(names, tensor, task) or _chosen_output(nodes, tensor, task)
    for kind in Output:
        name = names.role(kind.value)
        if name is not None:
            _check_task(kind, task)
            return existing_tensor(nodes, name) or name, kind, f"output: {name} ({kind.value}), from OpsNames.txt"
    if task is Task.REGRESSION:
        raise AmbiguousCaseError(
            "OpsNames.txt does not say which operation predicts",
            hint="Name it with --output-op NAME --task regression.",
        )
    candidates = _logits_candidates(nodes)
    if len(candidates) == 1:
        return candidates[0], Output.LOGITS, f"output: {candidates[0]} (logits), found in the graph"
    if candidates:
        raise AmbiguousCaseError(
            f"several operations could be the logits: {', '.join(candidates)}", hint="Choose one with --output-op NAME."
        )
    raise AmbiguousCaseError(
        "no operation of the graph looks like logits (the input of a softmax, a cross entropy or an argmax)",
        hint="Name the output with --output-op NAME, and --task regression if it predicts real numbers.",
    )


def _annotated_output(names: OpsNames, tensor: str, task: Task | None) -> tuple[str, Output, str] | None:
    """What OpsNames.txt says of an output that the user names, unless the user says another task."""
    for kind in Output:
        fits = task is None or (kind is Output.PREDICTION) == (task is Task.REGRESSION)
        if fits and tensor_name(names.role(kind.value) or "") == tensor:
            return tensor, kind, f"output: {tensor} ({kind.value}), as given and in OpsNames.txt"
    return None


def _check_task(kind: Output, task: Task | None) -> None:
    if task is not None and (kind is Output.PREDICTION) != (task is Task.REGRESSION):
        raise InputError(
            f"OpsNames.txt says that the output holds {kind.value}, which is not {task.value}",
            hint="Leave --task away, or name another output with --output-op.",
        )


def _chosen_output(nodes: Nodes, tensor: str, task: Task | None) -> tuple[str, Output, str]:
    name = node_of(tensor)
    if task is Task.REGRESSION:
        return tensor, Output.PREDICTION, f"output: {tensor} (prediction), as given"
    peeled = nodes[node_of(_same(nodes, tensor))]
    if peeled.op in {"Softmax", "Sigmoid"}:
        logits = tensor_name(peeled.input[0])
        kind = peeled.op.lower()
        return logits, Output.LOGITS, f"output: {logits} (logits), the input of the {kind} {name} that was given"
    if task is None and tensor not in _logits_candidates(nodes):
        raise AmbiguousCaseError(
            f"it is not clear what {name!r} predicts", hint="Say it with --task classification or --task regression."
        )
    return tensor, Output.LOGITS, f"output: {tensor} (logits), as given"


def _logits_candidates(nodes: Nodes) -> list[str]:
    """Inputs of cross entropies; without any, inputs of softmax; without any, inputs of argmax."""
    for kinds in (CROSS_ENTROPIES, frozenset({"Softmax", "LogSoftmax"}), frozenset({"ArgMax"})):
        found = dict.fromkeys(
            _peel(nodes, node.input[0]) for node in nodes if node.op in kinds and not is_gradient(node.name)
        )
        if found:
            return list(found)
    return []


def is_gradient(name: str) -> bool:
    """Whether an operation was made by differentiation."""
    return name.startswith("gradients") or "/gradients" in name


def _peel(nodes: Nodes, reference: str) -> str:
    """Walk up from a loss's logits past what leaves them as they are.

    That is identities, products with ones (TFP's broadcast against the labels), and a matrix made a matrix (what
    `tf.nn.softmax_cross_entropy_with_logits` begins with).
    """
    while True:
        reference = _same(nodes, reference)
        node = nodes[node_of(reference)]
        if node.op == "Mul" and any(_is_ones(nodes, item) for item in node.input[:2]):
            reference = node.input[1] if _is_ones(nodes, node.input[0]) else node.input[0]
        elif node.op == "Reshape" and _keeps_matrix(nodes, node):
            reference = node.input[0]
        else:
            return reference


def _keeps_matrix(nodes: Nodes, reshape: Any) -> bool:
    """Whether a tensor of two axes gets the shape `[-1, last size]`, in the way that TensorFlow writes it."""
    chain = [nodes.inputs(reshape.name)[1]]
    for operation, index in (("ConcatV2", 1), ("Slice", 1), ("Pack", 0), ("Sub", 0)):  # down to the rank
        inputs = nodes.inputs(chain[-1])
        if nodes[chain[-1]].op != operation or len(inputs) <= index:
            return False
        chain.append(inputs[index])
    concat, last, _, difference, rank = chain
    shape = nodes[nodes.inputs(last)[0]]
    if shape.op != "Shape" or tensor_name(shape.input[0]) != tensor_name(reshape.input[0]):
        return False
    numbers = (nodes.inputs(concat)[0], rank, nodes.inputs(difference)[1])
    return len(nodes.inputs(concat)) == 3 and [nodes.scalar(name) for name in numbers] == [-1.0, 2.0, 1.0]


def _same(nodes: Nodes, reference: str) -> str:
    """Walk up while the values are the same; the first tensor that is computed."""
    while True:
        name, _, index = tensor_name(reference).partition(":")
        data = [item for item in nodes[name].input if not is_control(item)]
        if nodes[name].op in _SAME and data:
            reference = data[0]
        elif nodes[name].op == "IdentityN" and int(index) < len(data):
            reference = data[int(index)]
        else:
            return tensor_name(reference)


def _is_ones(nodes: Nodes, reference: str) -> bool:
    node = nodes[node_of(reference)]
    return node.op == "OnesLike" or (node.op == "Fill" and nodes.scalar(node_of(node.input[1])) == 1.0)
