"""Which tensors of a graph are input, label and output: from annotations, else found in the graph.

A role is never guessed between candidates: an ambiguity is an error that lists them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from bprune.case.names import OpsNames
from bprune.case.nodes import Nodes, existing_tensor, is_control, node_of, tensor_name
from bprune.case.output import CROSS_ENTROPIES, Output, find_output, is_gradient
from bprune.case.task import Task
from bprune.errors import AmbiguousCaseError, InputError

__all__ = ["RANDOM_OPERATIONS", "Roles", "find_roles", "sampling_operations"]

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
    output, kind, how_output = find_output(nodes, names, output_op, task)
    if legacy_input is not None and node_of(legacy_input) not in nodes.ancestors([node_of(output)]):
        legacy_input = legacy_label = None  # the first two placeholders are others
    label = existing_tensor(nodes, names.role("label")) or legacy_label
    tensor, how_input = _find_input(nodes, input_op, names.role("input"), legacy_input, output, label, set(feeds))
    annotated = kind is Output.PREDICTION and output == tensor_name(names.role(kind.value) or "")
    scale = existing_tensor(nodes, names.role("prediction_scale")) if annotated else None
    reached = nodes.ancestors([node_of(output)], stop=[node_of(tensor)])
    return Roles(
        input=tensor,
        output=output,
        kind=kind,
        scale=scale,
        label=label or _find_label(nodes, tensor),
        log_prob=existing_tensor(nodes, names.role("log_prob")) or _find_log_prob(nodes),
        accuracy=existing_tensor(nodes, names.role("accuracy")) or _find_accuracy(nodes),
        samples=_named_samples(nodes, names) or sampling_operations(nodes, reached),
        found=(how_input, how_output),
    )


def sampling_operations(nodes: Nodes, within: Iterable[str]) -> tuple[str, ...]:
    """The operations among `within` that draw real random numbers, in graph order."""
    chosen = set(within)
    return tuple(node.name for node in nodes if node.name in chosen and node.op in RANDOM_OPERATIONS)


def _named_samples(nodes: Nodes, names: OpsNames) -> tuple[str, ...]:
    samples = names.roles.get("sample", ())
    for name in samples:
        existing_tensor(nodes, name)
    return samples


def _legacy(nodes: Nodes, names: OpsNames) -> tuple[str | None, str | None]:
    """The predecessor's files begin with the input and the label placeholder."""
    if names.annotated or len(names.operations) < 2:
        return None, None
    first, second = names.operations[:2]
    if all(name in nodes and nodes[name].op == "Placeholder" for name in (first, second)):
        return tensor_name(first), tensor_name(second)
    return None, None


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
        return existing_tensor(nodes, said) or said, f"input: {said}, as given"
    if annotated is not None:
        return existing_tensor(nodes, annotated) or annotated, f"input: {annotated}, from OpsNames.txt"
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
        if node.op in CROSS_ENTROPIES and not is_gradient(node.name):
            sources = nodes.ancestors([node_of(node.input[1])])
            labels = [name for name in sources if nodes[name].op == "Placeholder" and tensor_name(name) != tensor]
            if len(labels) == 1:
                return tensor_name(labels[0])
    return None


def _find_log_prob(nodes: Nodes) -> str | None:
    found = [
        node.name
        for node in nodes
        if node.op == "Neg" and not is_gradient(node.name) and nodes[nodes.inputs(node.name)[0]].op in CROSS_ENTROPIES
    ]
    return tensor_name(found[0]) if len(found) == 1 else None


def _find_accuracy(nodes: Nodes) -> str | None:
    for pattern in (r"(^|/)accuracy/value$", r"(^|/)accuracy(_\d+)?$"):
        found = [node.name for node in nodes if re.search(pattern, node.name) and not is_gradient(node.name)]
        if len(found) == 1:
            return tensor_name(found[0])
    return None
