"""From a TensorFlow 1 graph and its session to a graph over named variables."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bprune.arrays import AnyArray
from bprune.case.names import OpsNames
from bprune.case.nodes import Nodes, node_of
from bprune.case.roles import Roles, find_roles
from bprune.case.subgraph import InferenceGraph, extract
from bprune.case.task import Task
from bprune.errors import BPruneError, UsageError
from bprune.training.description import Description
from bprune.training.layers import layers_of_variables

__all__ = ["GivenRoles", "describe_graph"]


@dataclass(frozen=True)
class GivenRoles:
    """The tensors of a graph that the user names; None where BPrune is to find them.

    Attributes:
        input: The input tensor (a placeholder, or an iterator's output).
        logits: The logits of a classifier.
        prediction: The predictive mean of a regression.
        prediction_scale: Its predictive standard deviation.
        label: The label tensor.
        log_prob: The log likelihood of the labels.
        accuracy: The accuracy.
    """

    input: Any = None
    logits: Any = None
    prediction: Any = None
    prediction_scale: Any = None
    label: Any = None
    log_prob: Any = None
    accuracy: Any = None

    def annotations(self) -> dict[str, tuple[str, ...]]:
        """The roles as OpsNames.txt states them.

        Raises:
            UsageError: If both logits and prediction are given.
        """
        if self.logits is not None and self.prediction is not None:
            raise UsageError(
                "logits= and prediction= are both given", hint="A classifier has logits, a regression a prediction."
            )
        names = {role: _name(value) for role, value in vars(self).items() if value is not None}
        return {role: (name,) for role, name in names.items()}


def _name(tensor: Any) -> str:
    return tensor if isinstance(tensor, str) else str(tensor.name)


def describe_graph(
    graph: Any, given: GivenRoles, task: Task | None, run: Callable[[Mapping[str, Any]], Mapping[str, AnyArray]]
) -> Description:
    """Describe a TensorFlow 1 graph.

    Args:
        graph: The tf.Graph.
        given: The tensors that the user names.
        task: What the network predicts, or None to find out.
        run: Evaluates tensors in the current session.

    Raises:
        InputError: If a role cannot be found or a tensor does not exist.
        RefusedGraphError: If inference needs operations that BPrune does not run.
    """
    import tensorflow as tf

    meta_graph = tf.compat.v1.MetaGraphDef()
    meta_graph.graph_def.CopyFrom(graph.as_graph_def())
    nodes = Nodes(meta_graph.graph_def.node)
    roles = find_roles(nodes, OpsNames((), given.annotations(), annotated=True), task=task)
    variables = {
        variable.op.name: variable for variable in graph.get_collection(tf.compat.v1.GraphKeys.GLOBAL_VARIABLES)
    }
    graph_part, roles = _extract(meta_graph, nodes, roles, set(variables))
    trainable = [item.op.name for item in graph.get_collection(tf.compat.v1.GraphKeys.TRAINABLE_VARIABLES)]
    return Description(
        layers=tuple(layers_of_variables(name for name in trainable if name in variables)),
        graph=graph_part,
        roles=replace(roles, input=graph_part.input),
        shapes={
            name: (tuple(variable.shape.as_list()), variable.dtype.base_dtype.name)
            for name, variable in variables.items()
        },
        values=lambda: {name: np.asarray(value) for name, value in run(variables).items()},
    )


def _extract(meta_graph: Any, nodes: Nodes, roles: Roles, saved: set[str]) -> tuple[InferenceGraph, Roles]:
    """The graph with the likelihood and the accuracy, or without them where they need training operations."""

    def clean(name: str | None) -> str | None:
        return name if name is not None and _is_clean(meta_graph, nodes, roles, name, saved) else None

    roles = replace(roles, log_prob=clean(roles.log_prob), accuracy=clean(roles.accuracy))
    extras = [name for name in (roles.log_prob, roles.accuracy) if name is not None]
    if not extras:
        roles = replace(roles, label=None)
    wanted = [*roles.outputs, *extras]
    open_inputs = [roles.label] if roles.label else []
    return extract(meta_graph, nodes, input=roles.input, outputs=wanted, open_inputs=open_inputs), roles


def _is_clean(meta_graph: Any, nodes: Nodes, roles: Roles, name: str, saved: set[str]) -> bool:
    open_inputs = [roles.label] if roles.label else []
    if roles.label and nodes[node_of(roles.label)].op != "Placeholder":
        return False
    try:
        graph = extract(meta_graph, nodes, input=roles.input, outputs=[name], open_inputs=open_inputs)
    except BPruneError:
        return False
    return all(variable.name in saved for variable in graph.variables)
