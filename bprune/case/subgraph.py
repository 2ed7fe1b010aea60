"""The inference sub-graph: what lies between a network's input and its outputs, cut at the variables.

The saver, the optimizer, summaries and initialisers of a MetaGraph are left behind here. What is kept is checked
against the allow-list before anything else looks at it.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bprune.case.bundle_index import VALUE_DTYPES
from bprune.case.inline import inline_calls
from bprune.case.nodes import Nodes, check_constant, dtype_name, is_control, node_of, tensor_name
from bprune.case.safety import called_functions, check_runnable
from bprune.errors import DamagedFileError, InputError, UnsupportedError

__all__ = ["RESOURCE_VARIABLE", "VARIABLES", "GraphVariable", "InferenceGraph", "extract", "static_shape"]

RESOURCE_VARIABLE = "VarHandleOp"
VARIABLES = frozenset({RESOURCE_VARIABLE, "Variable", "VariableV2"})
_INPUT = "bprune_input"
_RUN_SETTINGS = frozenset({"config", "config_proto", "executor_type", "parallel_iterations"})
_PLACEHOLDERS = frozenset({"Placeholder", "PlaceholderWithDefault"})
_ELEMENTWISE = frozenset({"Add", "AddV2", "Cast", "Identity", "Mul", "RealDiv", "StopGradient", "Sub"})
_EXAMPLE_LIMIT_ELEMENTS = 1 << 28
_FRAMED = frozenset({"Enter", "Exit", "LoopCond", "Merge", "NextIteration", "RefMerge", "RefSwitch", "Switch"})


@dataclass(frozen=True)
class GraphVariable:
    """A variable that the inference sub-graph reads.

    Attributes:
        name: The node's name, which is its key in the checkpoint.
        shape: Its shape.
        dtype: Its dtype, a NumPy name.
        is_resource: Whether the node yields a resource handle (TF2 style), not the value.
    """

    name: str
    shape: tuple[int, ...] | None
    dtype: str
    is_resource: bool


@dataclass(frozen=True)
class InferenceGraph:
    """A network, from its input to its outputs.

    Attributes:
        graph_def: The nodes and the functions that they call. Variables are absent: references to them dangle
            until an engine binds them. Do not modify.
        nodes: An index over the nodes, the variables' nodes included.
        input: The input tensor's name.
        input_shape: Its shape, the example axis first, None where any size is allowed; None when the rank is unknown.
        input_dtype: Its dtype, a NumPy name.
        batch_size: The number of examples that the graph was built for, where it states one. Most graphs take any
            number all the same; flipout layers do not.
        outputs: Names of the output tensors.
        variables: The variables that are read, in graph order.
    """

    graph_def: Any
    nodes: Nodes
    input: str
    input_shape: tuple[int | None, ...] | None
    input_dtype: str
    batch_size: int | None
    outputs: tuple[str, ...]
    variables: tuple[GraphVariable, ...]


def extract(
    meta_graph: Any,
    nodes: Nodes,
    *,
    input: str,  # noqa: A002
    outputs: Sequence[str],
    feeds: Mapping[str, float] | None = None,
    open_inputs: Sequence[str] = (),
    trust_graph: bool = False,
) -> InferenceGraph:
    """Take the inference sub-graph out of a MetaGraph.

    Args:
        meta_graph: The MetaGraphDef.
        nodes: The index over its nodes.
        input: The input tensor.
        outputs: The output tensors.
        feeds: Values for further placeholders (such as `keep_prob`), by operation name.
        open_inputs: Names of placeholders that may stay without a value, such as the label.
        trust_graph: Whether operations that are not on the allow-list are let through.

    Returns:
        The sub-graph, checked.

    Raises:
        InputError: If the output does not depend on the input, or on a placeholder that has no value.
        RefusedGraphError: If an operation is not allowed.
        UnsupportedError: If a variable is partitioned.
    """
    start = node_of(input)
    feeds = {node_of(name): value for name, value in (feeds or {}).items()}
    framed = any(node.op in _FRAMED for node in (nodes[name] for name in nodes.ancestors(map(node_of, outputs))))
    ends = [node_of(output) for output in outputs]
    reached = nodes.ancestors(ends, stop=[start], control=framed)
    if start not in reached:
        raise InputError(
            f"the output {outputs[0]!r} does not depend on the input {input!r}",
            hint="Name the right operations with --input-op and --output-op.",
        )
    kept = [node for node in nodes if node.name in reached and node.name != start]
    _check_placeholders(kept, feeds, {node_of(item) for item in open_inputs})
    _check_other_outputs(kept, input)
    body = [node for node in kept if node.op not in VARIABLES and node.name not in feeds]
    if not trust_graph:
        check_runnable(body, meta_graph.graph_def.library)
    variables = tuple(_variable(node) for node in kept if node.op in VARIABLES)
    stated, dtype = _input_signature(nodes, input)
    shape = (None, *stated[1:]) if stated else None
    name = start if nodes[start].op == "Placeholder" else _INPUT
    graph_def = _copy_body(meta_graph.graph_def, body, (tensor_name(input), name), framed)
    for node in _all_nodes(graph_def):
        if node.op == "Const":
            check_constant(node)
    _add_input(graph_def, name, shape, dtype)
    for feed, value in feeds.items():
        _add_constant(graph_def, nodes[feed], value)
    ends = [_redirect(tensor_name(item), (tensor_name(input), name)) for item in outputs]
    holders = [node for node in kept if node.op in VARIABLES]
    if not framed:
        graph_def, ends = _without_calls(graph_def, ends, holders)
    inference_nodes = Nodes([*graph_def.node, *holders])
    inference_nodes.check_loops()
    return InferenceGraph(
        graph_def=graph_def,
        nodes=inference_nodes,
        input=f"{name}:0",
        input_shape=shape,
        input_dtype=dtype_name(dtype),
        batch_size=stated[0] if stated else None,
        outputs=tuple(ends),
        variables=variables,
    )


def _without_calls(graph_def: Any, ends: Sequence[str], holders: Sequence[Any]) -> tuple[Any, list[str]]:
    """The graph with its function calls inlined, and where its outputs are then."""
    flat, place = inline_calls(graph_def)
    if flat is graph_def:
        return graph_def, list(ends)
    ends = [place(item) for item in ends]
    index = Nodes([*flat.node, *holders])
    missing = [item for item in ends if node_of(item) not in index]
    if missing:
        raise DamagedFileError(f"the graph's output {missing[0]!r} is not in it")
    needed = index.ancestors(map(node_of, ends))
    inputs = [node for node in flat.node if node.op == "Placeholder"]
    body = [node for node in flat.node if node.name in needed]
    result = _copy_body(flat, [*(node for node in inputs if node.name not in needed), *body], ("", ""), False)
    return result, list(ends)


def _check_placeholders(kept: list[Any], feeds: Mapping[str, float], open_inputs: set[str]) -> None:
    names = [node.name for node in kept if node.op in _PLACEHOLDERS]
    for name in feeds:
        if name not in names:
            near = difflib.get_close_matches(name, names, n=1)
            raise InputError(
                f"there is no placeholder {name!r} between input and output to give a value to",
                hint=f"Did you mean {near[0]}?" if near else f"Placeholders there: {', '.join(names) or 'none'}.",
            )
    valued = open_inputs | set(feeds)
    missing = [node.name for node in kept if node.op == "Placeholder" and node.name not in valued]
    if missing:
        raise InputError(
            f"the network has further inputs without a value: {', '.join(missing)}",
            hint="Give each one with --feed NAME=VALUE (as --feed keep_prob=1), or name the input with --input-op.",
        )


def _check_other_outputs(kept: list[Any], tensor: str) -> None:
    """An operation that stands for the input must not be needed for another of its outputs."""
    for reference in (item for node in kept for item in node.input):
        same_node = node_of(reference) == node_of(tensor) and not is_control(reference)
        if same_node and tensor_name(reference) != tensor_name(tensor):
            raise InputError(
                f"the network needs {tensor_name(reference)} beside its input {tensor_name(tensor)}",
                hint="Networks with one input are supported; name another one with --input-op.",
            )


def _variable(node: Any) -> GraphVariable:
    if "/part_" in node.name:
        raise UnsupportedError(
            f"the variable {node.name!r} is partitioned",
            hint="Train without a partitioner, or save the joined variable.",
        )
    return GraphVariable(
        name=node.name,
        shape=_known(static_shape(node)),
        dtype=dtype_name(node.attr["dtype"].type),
        is_resource=node.op == RESOURCE_VARIABLE,
    )


def _known(shape: tuple[int | None, ...] | None) -> tuple[int, ...] | None:
    if shape is None:
        return None
    sizes = tuple(size for size in shape if size is not None)
    return sizes if len(sizes) == len(shape) else None


def static_shape(node: Any) -> tuple[int | None, ...] | None:
    """The shape in a node's `shape` attribute; None when it is absent or of unknown rank."""
    return _sizes(node.attr["shape"].shape) if "shape" in node.attr else None


def _sizes(shape: Any) -> tuple[int | None, ...] | None:
    return None if shape.unknown_rank else tuple(None if dim.size < 0 else int(dim.size) for dim in shape.dim)


def _input_signature(nodes: Nodes, tensor: str) -> tuple[tuple[int | None, ...] | None, int]:
    """Stated shape and dtype of the input tensor; also of iterators, whose outputs are listed in attributes."""
    node = nodes[node_of(tensor)]
    index = int(tensor_name(tensor).rsplit(":", 1)[1])
    if "output_types" in node.attr and "output_shapes" in node.attr:
        shapes, dtypes = node.attr["output_shapes"].list.shape, node.attr["output_types"].list.type
        if index >= min(len(shapes), len(dtypes)):
            raise InputError(f"the operation {node.name!r} has no output {index}", hint="Choose another --input-op.")
        shape, dtype = _sizes(shapes[index]), int(dtypes[index])
    else:
        shape, dtype = _known_shape(nodes, node), _output_dtype(node)
    if dtype_name(dtype) not in VALUE_DTYPES:
        raise InputError(
            f"the input {tensor!r} is of the type {dtype_name(dtype)}; numbers are needed",
            hint="Name the tensor that holds the numbers with --input-op.",
        )
    if math.prod(size or 1 for size in shape or ()) > _EXAMPLE_LIMIT_ELEMENTS:
        raise DamagedFileError(f"the input {tensor!r} claims the shape {list(shape or ())}")
    return shape or None, dtype


def _known_shape(nodes: Nodes, node: Any) -> tuple[int | None, ...] | None:
    """The shape that a node states; also of a Reshape, and of preprocessing such as a division by 255."""
    if node.op == "Reshape":
        sizes = nodes.constant(nodes.inputs(node.name)[1])
        return None if sizes is None else tuple(None if size < 0 else int(size) for size in np.atleast_1d(sizes))
    if "shape" not in node.attr and node.op in _ELEMENTWISE:
        sources = nodes.inputs(node.name)
        changing = [name for name in sources if nodes.scalar(name) is None]
        return _known_shape(nodes, nodes[changing[0]]) if len(changing) == 1 else None
    return static_shape(node)


def _output_dtype(node: Any) -> int:
    """The type of a node's output, where one attribute states it."""
    for name in ("dtype", "DstT", "T"):
        if name in node.attr:
            return int(node.attr[name].type)
    return 0


def _add_input(graph_def: Any, name: str, shape: tuple[int | None, ...] | None, dtype: int) -> None:
    import tensorflow as tf

    placeholder = graph_def.node.add(name=name, op="Placeholder")
    placeholder.attr["dtype"].type = dtype
    placeholder.attr["shape"].shape.CopyFrom(tf.TensorShape(shape).as_proto())


def _add_constant(graph_def: Any, placeholder: Any, value: float) -> None:
    import tensorflow as tf

    number = dtype_name(placeholder.attr["dtype"].type)
    if number not in VALUE_DTYPES:
        raise InputError(f"{placeholder.name!r} is of the type {number}, which no number can stand for")
    dtype = tf.as_dtype(placeholder.attr["dtype"].type).base_dtype
    constant = graph_def.node.add(name=placeholder.name, op="Const")
    constant.attr["dtype"].type = dtype.as_datatype_enum
    constant.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(np.asarray(value).astype(dtype.as_numpy_dtype)))


def _all_nodes(graph_def: Any) -> Iterator[Any]:
    yield from graph_def.node
    for function in graph_def.library.function:
        yield from function.node_def


def _copy_body(source: Any, body: list[Any], rename: tuple[str, str], framed: bool) -> Any:
    """A GraphDef of copies of nodes and the functions that they call: no devices, no colocation, no stray order.

    Control dependencies are kept only where loops and branches of TensorFlow 1 need them.
    """
    import tensorflow as tf

    graph_def = tf.compat.v1.GraphDef()
    graph_def.versions.CopyFrom(source.versions)
    for node in body:
        copy = graph_def.node.add()
        copy.CopyFrom(node)
        references = [item for item in node.input if framed or not is_control(item)]
        copy.ClearField("input")
        copy.input.extend(_redirect(item, rename) for item in references)
    _copy_functions(source.library, graph_def)
    for node in _all_nodes(graph_def):
        _tidy(node)
    return graph_def


def _tidy(node: Any) -> None:
    """Drop what says where and how to run, and add what an export left away, such as the default seeds of noise."""
    from tensorflow.python.framework import op_def_registry

    node.device = ""
    for name in [key for key in node.attr if key.startswith("_") or key in _RUN_SETTINGS]:
        del node.attr[name]
    for name, value in node.attr.items():
        if not _is_text(value.s):
            raise DamagedFileError(f"the graph's operation {node.name!r} has an attribute {name!r} that is no text")
    definition = op_def_registry.get(node.op)
    for attribute in definition.attr if definition is not None else ():
        if attribute.HasField("default_value") and attribute.name not in node.attr:
            node.attr[attribute.name].CopyFrom(attribute.default_value)


def _is_text(value: bytes) -> bool:
    try:
        return value.decode("utf-8").isprintable()
    except UnicodeDecodeError:
        return False


def _redirect(reference: str, rename: tuple[str, str]) -> str:
    """References to the input tensor go to the placeholder that stands for it."""
    tensor, name = rename
    if is_control(reference):
        return f"^{name}" if node_of(reference) == node_of(tensor) else reference
    return f"{name}:0" if tensor_name(reference) == tensor else reference


def _copy_functions(library: Any, graph_def: Any) -> None:
    functions = {function.signature.name: function for function in library.function}
    waiting = list(graph_def.node)
    copied: set[str] = set()
    while waiting:
        node = waiting.pop()
        for name in [*called_functions(node), node.op]:
            if name in functions and name not in copied:
                copied.add(name)
                copy = graph_def.library.function.add()
                copy.CopyFrom(functions[name])
                waiting.extend(copy.node_def)
