"""Reading a `.meta` file as data. Nothing in it is run, imported or restored here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bprune.case.nodes import is_control
from bprune.case.safety import ALLOWED, check_harmless
from bprune.errors import DamagedFileError

__all__ = ["read_meta_graph"]

_LIMIT_BYTES = (2 << 30) - 1


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
    """Operations that BPrune looks into have the inputs that they must have, the control dependencies last."""
    from tensorflow.python.framework import op_def_registry

    for node in graph_def.node:
        definition = op_def_registry.get(node.op) if node.op in ALLOWED else None
        if definition is not None:
            single = [item for item in definition.input_arg if not item.number_attr and not item.type_list_attr]
            data = [item for item in node.input if not is_control(item)]
            if len(data) < len(single) or data != list(node.input[: len(data)]):
                raise DamagedFileError(
                    f"the graph's operation {node.name!r} ({node.op}) has not the inputs that it needs",
                    hint="Copy the file again from its source.",
                )
