"""The `.meta` file of a case: the inference graph over named resource variables, with a saver for them."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

from bprune.case.nodes import node_of
from bprune.case.write import meta_graph_of
from bprune.training.description import Description
from bprune.training.layers import unique

__all__ = ["MetaGraph", "build_meta_graph"]


@dataclass(frozen=True)
class MetaGraph:
    """A MetaGraph that is ready to be written.

    Attributes:
        content: The serialised MetaGraphDef.
        operations: The names of its operations, in graph order.
        renamed: New names of operations that had to make room for a variable.
    """

    content: bytes
    operations: tuple[str, ...]
    renamed: dict[str, str]


def build_meta_graph(description: Description) -> MetaGraph:
    """Put variables, inference graph and a `tf.compat.v1.train.Saver` together.

    Returns:
        The MetaGraph; it holds no values, no devices and no training operations.
    """
    import tensorflow as tf

    with tf.Graph().as_default() as graph:
        variables = {
            name: tf.compat.v1.Variable(
                functools.partial(tf.zeros, shape, dtype), name=name, use_resource=True, trainable=False, dtype=dtype
            )
            for name, (shape, dtype) in description.shapes.items()
        }
        taken = {operation.name for operation in graph.get_operations()}
        graph_def, renamed = _make_room(description.graph.graph_def, taken)
        used = {node_of(reference) for node in graph_def.node for reference in node.input}
        input_map = {
            f"{item.name}:0": variables[item.name].handle if item.is_resource else variables[item.name].value()
            for item in description.graph.variables
            if item.name in used
        }
        tf.import_graph_def(graph_def, input_map=input_map, name="")
        content = meta_graph_of(graph, variables)
        names = tuple(operation.name for operation in graph.get_operations())
    return MetaGraph(content, names, renamed)


def _make_room(graph_def: Any, taken: set[str]) -> tuple[Any, dict[str, str]]:
    """Rename operations whose names the variables' own operations have taken."""
    import tensorflow as tf

    names = {node.name for node in graph_def.node} | taken
    renamed = {node.name: unique(node.name, names) for node in graph_def.node if node.name in taken}
    if not renamed:
        return graph_def, {}
    result = tf.compat.v1.GraphDef()
    result.CopyFrom(graph_def)
    for node in result.node:
        node.name = renamed.get(node.name, node.name)
        for position, reference in enumerate(node.input):
            source = node_of(reference)
            if source in renamed:
                prefix = "^" if reference.startswith("^") else ""
                suffix = f":{reference.split(':', 1)[1]}" if ":" in reference else ""
                node.input[position] = f"{prefix}{renamed[source]}{suffix}"
    return result, renamed
