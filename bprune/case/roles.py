"""Which tensors of a graph are input, label and output: from annotations, else found in the graph.

A role is never guessed between candidates: an ambiguity is an error that lists them.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from bprune.case.names import OpsNames
from bprune.case.nodes import Nodes, is_control, node_of, tensor_name
from bprune.case.task import Task
from bprune.errors import AmbiguousCaseError, InputError

__all__ = ["RANDOM_OPERATIONS", "Output", "Roles", "find_roles", "sampling_operations"]

_CROSS_ENTROPIES = frozenset({"SoftmaxCrossEntropyWithLogits", "SparseSoftmaxCrossEntropyWithLogits"})
_INDEX_DIGITS = 6
_SAME = frozenset({"Identity", "StopGradient", "EnsureShape", "PreventGradient"})
_ITERATORS = frozenset({"IteratorGetNext", "IteratorGetNextSync"})
RANDOM_OPERATIONS = frozenset(
    {
        "ParameterizedTruncatedNormal",
        "RandomStandardNormal",
        "RandomUniform",
        "StatelessRandomNormal",
        "StatelessRandomNormalV2",
        "StatelessRandomUniform",
        "StatelessRandomUniformV2",
        "StatelessTruncatedNormal",
        "StatelessTruncatedNormalV2",
        "TruncatedNormal",
    }
)
"""Operations that draw real random numbers; integer draws (seeds, random signs) are not among them."""


class Output(str, enum.Enum):
    """What the output tensor holds."""

    LOGITS = "logits"
    """Unnormalised log probabilities; one column is the logit of the second of two classes."""

    PROBABILITIES = "probabilities"
    """Class probabilities, as they are."""

    PREDICTION = "prediction"
    """Predictive means of a regression."""


@dataclass(frozen=True)
class Roles:
    """The tensors of a graph that BPrune uses.

    Attributes:
        input: The input tensor.
        output: The output tensor.
        kind: What the output holds.
        scale: The tensor of predictive standard deviations of a regression, or None.
        label: The label tensor, or None.
        log_prob: The log likelihood of the labels, or None.
        accuracy: The training's accuracy, or None.
        samples: The operations that draw the posterior samples.
        found: How input and output were found, a sentence each.
    """

    input: str
    output: str
    kind: Output
    scale: str | None
    label: str | None
    log_prob: str | None
    accuracy: str | None
    samples: tuple[str, ...]
    found: tuple[str, ...]

    @property
    def task(self) -> Task:
        """What the network predicts."""
        return Task.REGRESSION if self.kind is Output.PREDICTION else Task.CLASSIFICATION

    @property
    def outputs(self) -> tuple[str, ...]:
        """The output tensors: the output, then the scale where there is one."""
        return (self.output,) if self.scale is None else (self.output, self.scale)

    def annotations(self) -> dict[str, tuple[str, ...]]:
        """The roles as OpsNames.txt states them."""
        single = {
            "input": self.input,
            self.kind.value: self.output,
            "prediction_scale": self.scale,
            "label": self.label,
            "log_prob": self.log_prob,
            "accuracy": self.accuracy,
        }
        roles = {role: (name,) for role, name in single.items() if name is not None}
        return {**roles, "sample": self.samples}


def find_roles(
    nodes: Nodes,
    names: OpsNames,
    *,
    input_op: str | None = None,
    output_op: str | None = None,
    task: Task | None = None,
    feeds: Iterable[str] = (),
) -> Roles:
    """Find the roles of a graph.

    Args:
        nodes: The graph.
        names: The content of OpsNames.txt.
        input_op: The input, when the user says it.
        output_op: The output, when the user says it.
        task: What the network predicts, when the user says it.
        feeds: Names of placeholders that the user gives a value to; they are no candidates for the input.

    Returns:
        The roles; all names in them exist.

    Raises:
        AmbiguousCaseError: If several tensors could be meant.
        InputError: If a name does not exist or nothing fits.
    """
    legacy_input, legacy_label = _legacy(nodes, names)
    output, kind, how_output = _find_output(nodes, names, output_op, task)
    if legacy_input is not None and node_of(legacy_input) not in nodes.ancestors([node_of(output)]):
        legacy_input = legacy_label = None  # the first two placeholders are others
    label = _named(nodes, names.role("label")) or legacy_label
    tensor, how_input = _find_input(nodes, input_op, names.role("input"), legacy_input, output, label, set(feeds))
    annotated = kind is Output.PREDICTION and output == tensor_name(names.role(kind.value) or "")
    scale = _named(nodes, names.role("prediction_scale")) if annotated else None
    reached = nodes.ancestors([node_of(output)], stop=[node_of(tensor)])
    return Roles(
        input=tensor,
        output=output,
        kind=kind,
        scale=scale,
        label=label or _find_label(nodes, tensor),
        log_prob=_named(nodes, names.role("log_prob")) or _find_log_prob(nodes),
        accuracy=_named(nodes, names.role("accuracy")) or _find_accuracy(nodes),
        samples=_named_samples(nodes, names) or sampling_operations(nodes, reached),
        found=(how_input, how_output),
    )


def sampling_operations(nodes: Nodes, within: Iterable[str]) -> tuple[str, ...]:
    """The operations among `within` that draw real random numbers, in graph order."""
    chosen = set(within)
    return tuple(node.name for node in nodes if node.name in chosen and node.op in RANDOM_OPERATIONS)


def _named(nodes: Nodes, name: str | None) -> str | None:
    if name is None:
        return None
    if node_of(name) not in nodes:
        raise InputError(
            f"there is no operation {node_of(name)!r} in the graph",
            hint="Operation names are listed in OpsNames.txt; near misses: " + (_near(nodes, name) or "none") + ".",
        )
    index = tensor_name(name).removeprefix(f"{node_of(name)}:")
    if not (index.isdecimal() and index.isascii() and len(index) < _INDEX_DIGITS):
        raise InputError(
            f"{name!r} does not name a tensor",
            hint=f"Give {node_of(name)} or, for a further output, {node_of(name)}:1.",
        )
    return tensor_name(name)


def _named_samples(nodes: Nodes, names: OpsNames) -> tuple[str, ...]:
    samples = names.roles.get("sample", ())
    for name in samples:
        _named(nodes, name)
    return samples


def _near(nodes: Nodes, name: str) -> str:
    import difflib

    return ", ".join(difflib.get_close_matches(node_of(name), list(nodes.by_name), n=3))


def _legacy(nodes: Nodes, names: OpsNames) -> tuple[str | None, str | None]:
    """The predecessor's files begin with the input and the label placeholder."""
    if names.annotated or len(names.operations) < 2:
        return None, None
    first, second = names.operations[:2]
    if all(name in nodes and nodes[name].op == "Placeholder" for name in (first, second)):
        return tensor_name(first), tensor_name(second)
    return None, None


def _find_output(nodes: Nodes, names: OpsNames, output_op: str | None, task: Task | None) -> tuple[str, Output, str]:
    if output_op is not None:
        tensor = _named(nodes, output_op) or output_op
        return _annotated_output(names, tensor, task) or _chosen_output(nodes, tensor, task)
    for kind in Output:
        name = names.role(kind.value)
        if name is not None:
            _check_task(kind, task)
            return _named(nodes, name) or name, kind, f"output: {name} ({kind.value}), from OpsNames.txt"
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
    for kinds in (_CROSS_ENTROPIES, frozenset({"Softmax", "LogSoftmax"}), frozenset({"ArgMax"})):
        found = dict.fromkeys(
            _peel(nodes, node.input[0]) for node in nodes if node.op in kinds and not _is_gradient(node.name)
        )
        if found:
            return list(found)
    return []


def _is_gradient(name: str) -> bool:
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


def _find_input(
    nodes: Nodes,
    said: str | None,
    annotated: str | None,
    legacy: str | None,
    output: str,
    label: str | None,
    feeds: set[str],
) -> tuple[str, str]:
    if said is not None:
        return _named(nodes, said) or said, f"input: {said}, as given"
    if annotated is not None:
        return _named(nodes, annotated) or annotated, f"input: {annotated}, from OpsNames.txt"
    iterators = {node.name for node in nodes if node.op in _ITERATORS}
    reached = nodes.ancestors([node_of(output)], stop=iterators)
    if legacy is not None and node_of(legacy) in reached:
        return legacy, f"input: {legacy}, the first line of the operations file"
    placeholders = [node.name for node in nodes if node.name in reached and node.op == "Placeholder"]
    candidates = [tensor_name(name) for name in placeholders if name not in feeds and tensor_name(name) != label]
    candidates += _used_tensors(nodes, reached, iterators)
    if len(candidates) == 1:
        return candidates[0], f"input: {candidates[0]}, the only one that the output needs"
    if candidates:
        raise AmbiguousCaseError(
            f"several operations could be the input: {', '.join(candidates)}",
            hint="Choose one with --input-op NAME and give the others a value with --feed NAME=VALUE.",
        )
    raise InputError(f"the output {output!r} depends on no input", hint="Name the input with --input-op NAME.")


def _used_tensors(nodes: Nodes, reached: set[str], iterators: set[str]) -> list[str]:
    """The outputs of iterators that are used."""
    used = (item for name in reached for item in nodes[name].input if node_of(item) in iterators)
    return sorted({tensor_name(item) for item in used if not is_control(item)})


def _find_label(nodes: Nodes, tensor: str) -> str | None:
    """The placeholder behind the labels of a cross entropy."""
    for node in nodes:
        if node.op in _CROSS_ENTROPIES and not _is_gradient(node.name):
            sources = nodes.ancestors([node_of(node.input[1])])
            labels = [name for name in sources if nodes[name].op == "Placeholder" and tensor_name(name) != tensor]
            if len(labels) == 1:
                return tensor_name(labels[0])
    return None


def _find_log_prob(nodes: Nodes) -> str | None:
    found = [
        node.name
        for node in nodes
        if node.op == "Neg" and not _is_gradient(node.name) and nodes[nodes.inputs(node.name)[0]].op in _CROSS_ENTROPIES
    ]
    return tensor_name(found[0]) if len(found) == 1 else None


def _find_accuracy(nodes: Nodes) -> str | None:
    for pattern in (r"(^|/)accuracy/value$", r"(^|/)accuracy(_\d+)?$"):
        found = [node.name for node in nodes if re.search(pattern, node.name) and not _is_gradient(node.name)]
        if len(found) == 1:
            return tensor_name(found[0])
    return None
