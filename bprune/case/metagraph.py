"""Reading a `.meta` file as data. Nothing in it is run, imported or restored here."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

from bprune.case.nodes import is_control
from bprune.case.safety import ALLOWED, check_harmless
from bprune.errors import DamagedFileError

__all__ = ["read_meta_graph"]

_LIMIT_BYTES = (2 << 30) - 1
_OUTPUTS_LIMIT = 1 << 16


def read_meta_graph(path: Path, *, trust_graph: bool = False) -> Any:
    """Parse a MetaGraphDef.

    Args:
        path: The `.meta` file.
        trust_graph: Whether harmful operations in it are tolerated.

    Returns:
        The MetaGraphDef message.

    Raises:
        DamagedFileError: If the file is not a MetaGraphDef with a graph in it.
        RefusedGraphError: If it holds a harmful operation and is not trusted.
    """
    from google.protobuf.message import DecodeError
    from tensorflow.core.protobuf import meta_graph_pb2

    size = path.stat().st_size
    if size > _LIMIT_BYTES:
        raise DamagedFileError(f"{path} has {size} bytes; a MetaGraph has less than 2 GiB")
    meta_graph = meta_graph_pb2.MetaGraphDef()
    try:
        meta_graph.ParseFromString(path.read_bytes())
    except (DecodeError, UnicodeDecodeError) as error:
        raise DamagedFileError(
            f"{path} is not a MetaGraph, or is truncated or altered: {error}",
            hint="Copy the file again from its source.",
        ) from error
    if not meta_graph.graph_def.node:
        raise DamagedFileError(f"{path} holds no graph", hint="Copy the file again from its source.")
    if not trust_graph:
        check_harmless(meta_graph.graph_def)
    _check_inputs(meta_graph.graph_def)
    return meta_graph


def _check_inputs(graph_def: Any) -> None:
    """Operations that BPrune looks into have the inputs that they must have, the control dependencies last.

    TensorFlow checks that too, but after it has made room for as many inputs and outputs as are claimed.
    """
    functions = [function.node_def for function in graph_def.library.function]
    for node in itertools.chain(graph_def.node, *functions):
        counts = _claimed_counts(node) if node.op in ALLOWED else None
        if counts is not None:
            data = [item for item in node.input if not is_control(item)]
            inputs, outputs = counts
            if inputs != len(data) or data != list(node.input[:inputs]) or outputs > _OUTPUTS_LIMIT:
                raise DamagedFileError(
                    f"the graph's operation {node.name!r} ({node.op}) has not the inputs and outputs that it needs",
                    hint="Copy the file again from its source.",
                )


def _claimed_counts(node: Any) -> tuple[int, int] | None:
    """How many data inputs and how many outputs a node says that it has; None for an operation that is not known."""
    from tensorflow.python.framework import op_def_registry

    definition = op_def_registry.get(node.op)
    if definition is None:
        return None
    defaults = {item.name: item.default_value for item in definition.attr}

    def count(item: Any) -> int:
        name = item.number_attr or item.type_list_attr
        if not name:
            return 1
        value = node.attr[name] if name in node.attr else defaults[name]
        return int(value.i) if item.number_attr else len(value.list.type)

    return sum(map(count, definition.input_arg)), sum(map(count, definition.output_arg))
