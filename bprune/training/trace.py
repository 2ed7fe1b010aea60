"""From a Keras model or a TensorFlow function to a graph over named variables."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import numpy as np

from bprune.arrays import AnyArray
from bprune.case.names import LayerNote
from bprune.case.nodes import Nodes, node_of, tensor_name
from bprune.case.output import Output
from bprune.case.roles import Roles, sampling_operations
from bprune.case.subgraph import RESOURCE_VARIABLE, extract
from bprune.case.task import Task
from bprune.errors import UnsupportedError, UsageError
from bprune.training.description import Description
from bprune.training.head import Head, read_head
from bprune.training.layers import layers_of_model, layers_of_variables, node_name, unique

__all__ = ["describe_function", "describe_model"]


def describe_model(
    model: Any,
    *,
    spec: Any | None,
    predict: Callable[[Any], Any] | None,
    task: Task | None,
    fallback: Task | None = None,
) -> Description:
    """Describe a tf_keras model.

    Args:
        model: The model, built.
        spec: A tf.TensorSpec of the input; None takes it from the model.
        predict: A function of the inputs to use in place of the model's call.
        task: What the network predicts, or None to find out.
        fallback: What it predicts if its output does not tell.

    Raises:
        UsageError: If the input's shape is not known.
        UnsupportedError: If the model cannot be expressed as a graph over its variables.
    """
    call = predict or (lambda inputs: model(inputs, training=False))
    return _describe(call, spec or _spec_of_model(model), task, model, fallback)


def describe_function(function: Callable[[Any], Any], *, spec: Any | None, task: Task | None) -> Description:
    """Describe a function of one tensor, such as a tf.function over TFP layers.

    Args:
        function: The function; it must call its layers as at inference.
        spec: A tf.TensorSpec of the input; None takes it from a tf.function's input signature.
        task: What the network predicts, or None to find out.

    Raises:
        UsageError: If the input's shape is not known.
        UnsupportedError: If the function cannot be expressed as a graph over variables.
    """
    signature = getattr(function, "input_signature", None)
    if spec is None and signature:
        spec = signature[0]
    if spec is None:
        raise UsageError(
            "the input's shape is not known", hint="Pass input_spec=tf.TensorSpec([None, ...], tf.float32)."
        )
    return _describe(function, spec, task, None)


def _spec_of_model(model: Any) -> Any:
    import tensorflow as tf

    inputs = getattr(model, "inputs", None)
    if inputs and len(inputs) > 1:
        raise UnsupportedError(
            f"the model has {len(inputs)} inputs; a case has one",
            hint="Pass predict=FUNCTION of one tensor and input_spec.",
        )
    if inputs:
        return tf.TensorSpec([None, *inputs[0].shape[1:]], inputs[0].dtype)
    saved = model.save_spec() if hasattr(model, "save_spec") else None
    if saved is None:
        raise UsageError(
            "the model was never called, so the shape of its input is not known",
            hint="Call it on one batch first, or pass input_spec=tf.TensorSpec([None, ...], tf.float32).",
        )
    first = tf.nest.flatten(saved[0])[0]
    return tf.TensorSpec([None, *first.shape[1:]], first.dtype)


def _describe(
    call: Callable[[Any], Any], spec: Any, task: Task | None, model: Any | None, fallback: Task | None = None
) -> Description:
    concrete, head = _trace(call, spec, task, fallback, model)
    variables = _variables(concrete, model)
    names = _names(variables)
    graph_def, tensors = _bound(concrete, variables, names)
    nodes = Nodes(graph_def.node)
    head_names = [_peeled(nodes, tensors[index]) for index in range(len(concrete.outputs))]
    roles = _roles(nodes, tensors["input"], tensors.get("label"), head, head_names)
    wanted = [*roles.outputs, *(name for name in (roles.log_prob, roles.accuracy) if name)]
    graph = extract(
        _as_meta_graph(graph_def),
        nodes,
        input=roles.input,
        outputs=wanted,
        open_inputs=[roles.label] if roles.label else [],
    )
    order = {node.name: position for position, node in enumerate(graph.variables)}
    variables, names = _needed(variables, names, order, model)
    by_id = {id(variable): names[index] for index, variable in enumerate(variables)}
    return Description(
        layers=layers_of_model(model, by_id, order) if model is not None else _layers(by_id, order),
        graph=graph,
        roles=roles,
        shapes={
            names[index]: (tuple(variable.shape.as_list()), variable.dtype.base_dtype.name)
            for index, variable in enumerate(variables)
        },
        values=lambda: _values(variables, names),
    )


def _values(variables: list[Any], names: list[str]) -> dict[str, AnyArray]:
    return {name: np.asarray(variable.numpy()) for name, variable in zip(names, variables, strict=True)}


def _layers(names: dict[int, str], order: dict[str, int]) -> tuple[LayerNote, ...]:
    last = len(order)
    notes = layers_of_variables(names.values())
    return tuple(sorted(notes, key=lambda note: min(order.get(name, last) for name in note.variables)))


@contextmanager
def _inlined_functions() -> Iterator[None]:
    """Inner tf.functions are traced into the same graph, so that their layers can be recognised."""
    import tensorflow as tf

    before = tf.config.functions_run_eagerly()
    tf.config.run_functions_eagerly(True)
    try:
        yield
    finally:
        tf.config.run_functions_eagerly(before)


def _one_replica(model: Any | None) -> AbstractContextManager[Any]:
    """With tf.distribute: read the variables as one replica does, not as an average over all workers."""
    import tensorflow as tf

    strategies = (getattr(variable, "distribute_strategy", None) for variable in getattr(model, "variables", ()))
    strategy = next((item for item in strategies if item is not None), None)
    if strategy is None or not hasattr(strategy.extended, "worker_devices"):
        return nullcontext()
    replica: AbstractContextManager[Any] = tf.distribute.ReplicaContext(strategy, replica_id_in_sync_group=0)
    return replica


def _trace(
    call: Callable[[Any], Any], spec: Any, task: Task | None, fallback: Task | None, model: Any | None
) -> tuple[Any, Head]:
    """Trace the network with a label beside it, so that the graph has the likelihood and the accuracy as well."""
    import tensorflow as tf

    heads: list[Head] = []
    plain = getattr(call, "python_function", call)

    def traced(inputs: Any, label: Any) -> list[Any]:
        with _one_replica(model):
            head = read_head(plain(inputs), task, fallback)
        heads.append(head)
        outputs = [head.values] + ([head.scale] if head.scale is not None else [])
        return [*outputs, *_likelihood(head, label)]

    with _inlined_functions():
        concrete = tf.function(traced, autograph=False).get_concrete_function(
            tf.TensorSpec(spec.shape, spec.dtype, name="input"), tf.TensorSpec([None], tf.int32, name="label")
        )
    return concrete, heads[-1]


def _likelihood(head: Head, label: Any) -> list[Any]:
    """Log likelihood of the labels and accuracy, where they are defined: classifiers with a row of logits."""
    import tensorflow as tf

    values = head.values
    if head.kind is not Output.LOGITS or values.shape.rank != 2 or (values.shape[-1] or 0) < 2:
        return []
    entropy = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=label, logits=values)
    hit = tf.equal(tf.argmax(values, axis=-1, output_type=tf.int32), label)
    return [tf.negative(entropy, name="log_prob"), tf.reduce_mean(tf.cast(hit, tf.float32), name="accuracy")]


def _variables(concrete: Any, model: Any | None) -> list[Any]:
    """All variables of the model, then what else the graph reads."""
    found: dict[int, Any] = {}
    for variable in [*(model.variables if model is not None else ()), *concrete.graph.variables]:
        if not any(id(variable) in map(id, _components(known)) for known in found.values()):
            found.setdefault(id(variable), variable)
    return list(found.values())


def _components(variable: Any) -> tuple[Any, ...]:
    """What a distributed variable is made of, itself included: copies per device, or one on a parameter server."""
    values = getattr(variable, "values", None)
    inner = vars(variable).get("_v")  # not getattr, which a variable of several workers answers by an exchange
    parts = values if isinstance(values, tuple) else () if inner is None else _components(inner)
    return (variable, *parts)


def _needed(
    variables: list[Any], names: list[str], order: dict[str, int], model: Any | None
) -> tuple[list[Any], list[str]]:
    """Without what only training reads, such as the weight of a divergence."""
    own = {id(variable) for variable in (model.variables if model is not None else ())}
    kept = [index for index, item in enumerate(variables) if id(item) in own or names[index] in order]
    return [variables[index] for index in kept], [names[index] for index in kept]


def _names(variables: list[Any]) -> list[str]:
    taken: set[str] = set()
    return [unique(node_name(variable.name), taken) for variable in variables]


def _bound(concrete: Any, variables: list[Any], names: list[str]) -> tuple[Any, dict[Any, str]]:
    """The traced graph with captured variables as named variables and captured tensors as constants.

    Returns:
        The GraphDef, and the tensors of `input`, `label` and of the outputs by number.
    """
    import tensorflow as tf

    handles: dict[int, int] = {}
    for index, variable in enumerate(variables):
        for component in _components(variable):
            handle = getattr(component, "_handle", None)
            if handle is not None:
                handles[id(handle)] = index
    graph_def = concrete.graph.as_graph_def()
    by_name = {node.name: node for node in graph_def.node}
    rename: dict[str, str] = {}
    for outer, inner in concrete.graph.captures:
        node = by_name[inner.op.name]
        if id(outer) in handles:
            index = handles[id(outer)]
            rename[node.name] = names[index]
            _make_variable(node, names[index], variables[index])
        elif inner.dtype in (tf.resource, tf.variant):
            raise UnsupportedError(
                f"the model reads a resource that is not a variable ({inner.op.name})",
                hint="Lookup tables and the like must stay outside; pass predict=FUNCTION of plain numbers.",
            )
        else:
            _make_constant(node, outer.numpy())
    _merge(graph_def, rename)
    tensors: dict[Any, str] = {"input": concrete.inputs[0].name, "label": concrete.inputs[1].name}
    tensors.update((index, tensor.name) for index, tensor in enumerate(concrete.outputs))
    return graph_def, tensors


def _make_variable(node: Any, name: str, variable: Any) -> None:
    node.op = RESOURCE_VARIABLE
    node.attr.clear()
    node.attr["dtype"].type = variable.dtype.base_dtype.as_datatype_enum
    node.attr["shape"].shape.CopyFrom(variable.shape.as_proto())
    node.attr["shared_name"].s = name.encode()


def _make_constant(node: Any, value: AnyArray) -> None:
    import tensorflow as tf

    node.op = "Const"
    node.attr.clear()
    proto = tf.make_tensor_proto(value)
    node.attr["dtype"].type = proto.dtype
    node.attr["value"].tensor.CopyFrom(proto)


def _merge(graph_def: Any, rename: dict[str, str]) -> None:
    """Give variables their names; operations with the same name, and second captures of a variable, make room."""
    taken = {node.name for node in graph_def.node if node.name not in rename}
    moved = {name: unique(name, taken) for name in sorted(set(rename.values()) & taken)}
    seen: set[str] = set()
    kept = []
    for node in graph_def.node:
        node.name = rename.get(node.name) or moved.get(node.name, node.name)
        for position, reference in enumerate(node.input):
            source = node_of(reference)
            target = rename.get(source) or moved.get(source)
            if target is not None:
                node.input[position] = reference.replace(source, target, 1)
        if node.op != RESOURCE_VARIABLE or node.name not in seen:
            kept.append(node)
            seen.add(node.name)
    copies = [type(node).FromString(node.SerializeToString()) for node in kept]
    del graph_def.node[:]
    graph_def.node.extend(copies)


def _peeled(nodes: Nodes, tensor: str) -> str:
    """A function's results are identities that wait for the side effects of the trace; take what is behind them."""
    node = nodes[node_of(tensor)]
    return tensor_name(node.input[0]) if node.op == "Identity" else tensor_name(tensor)


def _roles(nodes: Nodes, tensor: str, label: str | None, head: Head, outputs: list[str]) -> Roles:
    heads = 1 if head.scale is None else 2
    rest = outputs[heads:]
    reached = nodes.ancestors([node_of(name) for name in outputs[:heads]])
    return Roles(
        input=tensor_name(tensor),
        output=outputs[0],
        kind=head.kind,
        scale=outputs[1] if heads == 2 else None,
        label=tensor_name(label) if label and rest else None,
        log_prob=rest[0] if rest else None,
        accuracy=rest[1] if rest else None,
        samples=sampling_operations(nodes, reached),
        found=(),
    )


def _as_meta_graph(graph_def: Any) -> Any:
    import tensorflow as tf

    meta_graph = tf.compat.v1.MetaGraphDef()
    meta_graph.graph_def.CopyFrom(graph_def)
    return meta_graph
