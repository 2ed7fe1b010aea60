"""Function calls in a graph, replaced by the functions' bodies: what reads a graph as data then sees one flat graph.

Programs of today hide whole layers in `PartitionedCall` operations. Bodies of loops and branches stay functions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from bprune.case.nodes import is_control, tensor_name
from bprune.errors import DamagedFileError

__all__ = ["inline_calls"]

_CALLS = frozenset({"PartitionedCall", "StatefulPartitionedCall"})
_LARGEST_GRAPH = 100_000  # nodes
_DEEPEST = 100  # calls inside of calls


def inline_calls(graph_def: Any) -> tuple[Any, Callable[[str], str]]:
    """Replace the calls of a graph without loops of TensorFlow 1 by the bodies of the functions that they call.

    A body's operation `op` of the call `call` becomes `call/op`. Control dependencies are dropped.

    Args:
        graph_def: The GraphDef with its function library; not changed.

    Returns:
        The flat GraphDef, and where a tensor of the graph is found in it.

    Raises:
        DamagedFileError: If a function is missing, calls itself, or its references dangle.
    """
    places: dict[str, str] = {}

    def place(reference: str) -> str:
        reference = tensor_name(reference)
        for _ in range(len(places) + 1):
            if reference not in places:
                return reference
            reference = places[reference]
        raise DamagedFileError(f"the graph's function call {reference!r} waits for itself")

    from tensorflow.python.framework import op_def_registry

    functions = {
        function.signature.name: function
        for function in graph_def.library.function
        if op_def_registry.get(function.signature.name) is None  # an operation stays one, whatever the file says
    }
    if not any(node.op in _CALLS or node.op in functions for node in graph_def.node):
        return graph_def, place
    nodes = list(graph_def.node)
    for _ in range(_DEEPEST):
        if not any(node.op in _CALLS or node.op in functions for node in nodes):
            return _flat(graph_def, nodes, place), place
        flat: list[Any] = []
        for node in nodes:
            name = node.attr["f"].func.name if node.op in _CALLS else node.op
            if node.op not in _CALLS and name not in functions:
                flat.append(node)
                continue
            if name not in functions:
                raise DamagedFileError(f"the graph's operation {node.name!r} calls {name!r}, which is not in the file")
            body, returned = _body(functions[name], node, functions)
            flat.extend(body)
            places.update(returned)
        nodes = flat
        if len(nodes) > _LARGEST_GRAPH:
            break
    raise DamagedFileError("the graph's functions call each other without end")


def _flat(graph_def: Any, nodes: list[Any], place: Callable[[str], str]) -> Any:
    import tensorflow as tf

    result = tf.compat.v1.GraphDef()
    result.versions.CopyFrom(graph_def.versions)
    result.library.CopyFrom(graph_def.library)
    for node in nodes:
        copy = result.node.add()
        copy.CopyFrom(node)
        copy.ClearField("input")
        copy.input.extend(place(item) for item in node.input if not is_control(item))
    return result


def _body(function: Any, call: Any, functions: Mapping[str, Any]) -> tuple[list[Any], dict[str, str]]:
    """The nodes of one call, and where its outputs are."""
    import tensorflow as tf

    given = [item for item in call.input if not is_control(item)]
    arguments = [argument.name for argument in function.signature.input_arg]
    if len(given) != len(arguments):
        raise DamagedFileError(f"the graph's operation {call.name!r} calls a function with a wrong number of inputs")
    inputs = dict(zip(arguments, given, strict=True))
    outputs = {node.name: _output_starts(node, functions) for node in function.node_def}
    nodes = []
    for node in function.node_def:
        copy = tf.compat.v1.NodeDef()
        copy.CopyFrom(node)
        copy.name = f"{call.name}/{node.name}"
        copy.ClearField("input")
        references = [item for item in node.input if not is_control(item)]
        copy.input.extend(_resolved(item, call.name, inputs, outputs) for item in references)
        nodes.append(copy)
    returned = [function.ret[item.name] for item in function.signature.output_arg]
    return nodes, {
        f"{call.name}:{index}": tensor_name(_resolved(item, call.name, inputs, outputs))
        for index, item in enumerate(returned)
    }


def _resolved(reference: str, call: str, inputs: Mapping[str, str], outputs: Mapping[str, Mapping[str, int]]) -> str:
    """A tensor's name in the flat graph: functions write `node:output:index`, graphs `node:index`."""
    if reference in inputs:
        return inputs[reference]
    name, _, rest = reference.partition(":")
    argument, _, index = rest.partition(":")
    starts = outputs.get(name)
    if starts is None or argument not in starts or not (index.isdecimal() and index.isascii() and len(index) < 6):
        raise DamagedFileError(f"a function of the graph refers to {reference!r}, which is not in it")
    return f"{call}/{name}:{starts[argument] + int(index)}"


def _output_starts(node: Any, functions: Mapping[str, Any]) -> dict[str, int]:
    """The number of the first tensor of each named output of an operation."""
    from tensorflow.python.framework import op_def_registry

    definition = functions[node.op].signature if node.op in functions else op_def_registry.get(node.op)
    starts: dict[str, int] = {}
    total = 0
    for argument in definition.output_arg if definition is not None else ():
        starts[argument.name] = total
        if argument.number_attr:
            total += int(node.attr[argument.number_attr].i)
        elif argument.type_list_attr:
            total += len(node.attr[argument.type_list_attr].list.type)
        else:
            total += 1
    return starts
