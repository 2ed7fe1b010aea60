"""The walk over the graph: the value of every node's outputs, from those of its inputs."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from bprune.arrays import AnyArray
from bprune.case.inline import inline_calls
from bprune.case.nodes import Nodes, dtype_name, is_control, node_of, tensor_name
from bprune.case.subgraph import VARIABLES
from bprune.errors import DamagedFileError, UnsupportedError
from bprune.lowering.read import elementwise, flow, layers, noise, shaping, windows
from bprune.lowering.read.constants import cost, evaluate, is_constant_operation
from bprune.lowering.read.context import Context, Rules
from bprune.lowering.read.values import (
    Dead,
    Known,
    Perturbed,
    RefusedError,
    Scale,
    Seed,
    Signed,
    Tensor,
    Unknown,
    Value,
)

__all__ = ["Interpreter"]

_RULES: Rules = {
    **flow.RULES,
    **noise.RULES,
    **elementwise.RULES,
    **layers.RULES,
    **windows.RULES,
    **shaping.RULES,
}
_ARITHMETIC = frozenset({*elementwise.RULES, *layers.RULES, *windows.RULES, "Max", "Mean", "Sum"}) - {"Cast"}
_DEEPEST = 16  # branches inside of branches
_FOREIGN = (ValueError, IndexError, TypeError, KeyError, ArithmeticError, AttributeError, UnsupportedError)


class Interpreter:
    """Walks over a graph.

    Args:
        nodes: The graph.
        library: The functions that it may call.
        context: The state of the reader.
        variables: The values of the variables.
        depth: In how many branches this graph lies.
    """

    def __init__(
        self, nodes: Nodes, library: Any, context: Context, variables: Mapping[str, AnyArray], depth: int = 0
    ) -> None:
        self._nodes = nodes
        self._library = library
        self._context = context
        self._variables = variables
        self._depth = depth

    def run(self, given: Mapping[str, Value], outputs: Iterable[str]) -> list[Value]:
        """The values of tensors.

        Args:
            given: Values of nodes that are not looked into, by name.
            outputs: The tensors' names.
        """
        wanted = [tensor_name(item) for item in outputs]
        found: dict[str, list[Value]] = {name: [value] for name, value in given.items()}
        order = _order(self._nodes, [node_of(item) for item in wanted], given)
        last = {node_of(item): name for name in order for item in self._nodes[name].input}
        ends = {node_of(item) for item in wanted}
        for name in order:
            node = self._nodes[name]
            if name not in found:
                found[name] = self._node(node, found)
            for source in {node_of(item) for item in node.input}:
                if last[source] == name and source not in ends:
                    found.pop(source, None)  # nobody asks again
        return [_output(found, item) for item in wanted]

    def _node(self, node: Any, found: Mapping[str, list[Value]]) -> list[Value]:
        if node.op in VARIABLES:
            return [Known(self._variables[node.name], node.name)]
        try:
            inputs = [_output(found, item) for item in node.input if not is_control(item)]
            controls = [found[node_of(item)][0] for item in node.input if is_control(item)]
            return self._outputs(node, inputs, controls)
        except RefusedError as refusal:
            return [Unknown(f"{node.name!r} ({node.op}) {refusal}")]
        except DamagedFileError:
            raise
        except _FOREIGN as error:
            return [Unknown(f"{node.name!r} ({node.op}) cannot be followed: {_first_line(error)}")]

    def _outputs(self, node: Any, inputs: list[Value], controls: list[Value]) -> list[Value]:
        if node.op in flow.FIRST:
            made = flow.FIRST[node.op](self._context, node, inputs)
            if made is not None:
                return made if isinstance(made, list) else [made]
        if node.op in flow.BRANCHES:
            called = flow.branch(node, inputs)
            return [inputs[0]] if called is None else self._called(node, called, inputs[1:])
        dead = [item for item in (*inputs, *controls) if isinstance(item, Dead)]
        unknown = [item for item in inputs if isinstance(item, Unknown)]
        if dead or unknown:
            return [dead[0] if dead else unknown[0]]
        if node.op == "Const":
            return [Known(_constant(self._nodes, node))]
        known = [item for item in inputs if isinstance(item, Known)]
        if len(known) == len(inputs) and is_constant_operation(node.op):
            made_of = next((item.origin for item in known if item.origin), "")
            try:
                return self._known(node, [item.array for item in known], made_of)
            except RefusedError:
                raise
            except _FOREIGN:  # it may hold for every number of examples all the same: a rule may know
                if node.op not in _RULES:
                    raise
        seeds = [item for item in inputs if isinstance(item, Seed)]
        if seeds and len(seeds) + len(known) == len(inputs) and node.op not in noise.RULES:
            return [Seed()]
        return self._ruled(node, inputs)

    def _called(self, node: Any, function: str, inputs: list[Value]) -> list[Value]:
        """The outputs of a function: its body, walked over in place of the operation that calls it."""
        if self._depth >= _DEEPEST:
            raise RefusedError("calls functions in functions without end")
        import tensorflow as tf

        graph_def = tf.compat.v1.GraphDef()
        graph_def.library.CopyFrom(self._library)
        names = [f"{node.name}/argument_{number}" for number in range(len(inputs))]
        for name in names:
            graph_def.node.add(name=name, op="Placeholder")
        call = graph_def.node.add(name=node.name, op="PartitionedCall", input=names)
        call.attr["f"].func.name = function
        flat, place = inline_calls(graph_def)
        outputs = [place(f"{node.name}:{number}") for number in range(len(node.attr["Tout"].list.type))]
        self._context.spend(operations=len(flat.node))
        inner = Interpreter(Nodes(flat.node), self._library, self._context, {}, self._depth + 1)
        return inner.run(dict(zip(names, inputs, strict=True)), outputs)

    def _ruled(self, node: Any, inputs: list[Value]) -> list[Value]:
        if node.op not in _RULES:
            raise RefusedError("is not an operation that a program has")
        if node.op in _ARITHMETIC and any(isinstance(item, (Tensor, Signed, Perturbed)) for item in inputs):
            number = dtype_name(node.attr["T"].type)
            if number not in {"float32", "float64"}:
                raise RefusedError(f"computes with the type {number}; a program computes with float32")
        made = _RULES[node.op](self._context, node, inputs)
        return made if isinstance(made, list) else [made]

    def _known(self, node: Any, arrays: list[AnyArray], origin: str) -> list[Value]:
        results = evaluate(node, arrays)
        self._context.spend(elements=cost(node, arrays, results))
        group = self._context.groups.get(node.name)
        if group is None:
            return [Known(item, origin) for item in results]
        if len(results) != 1 or not group.fits(results[0]):
            raise RefusedError("is said to hold the scale of a posterior, but holds other numbers")
        ids = np.arange(results[0].size, dtype=np.int32).reshape(results[0].shape)
        return [Scale(group, ids)]


def _order(nodes: Nodes, ends: list[str], given: Mapping[str, Value]) -> list[str]:
    """What the ends need, each after its inputs, else in the order of the file.

    Loops of TensorFlow 1 never become ready: what lies in them and behind them is left out.
    """
    needed = nodes.ancestors(ends, stop=given, control=True)
    position = {node.name: number for number, node in enumerate(nodes) if node.name in needed}
    sources = {name: set() if name in given else {node_of(item) for item in nodes[name].input} for name in needed}
    users: dict[str, list[str]] = {name: [] for name in needed}
    for name, items in sources.items():
        for item in items:
            users[item].append(name)
    missing = {name: len(items) for name, items in sources.items()}
    ready = [(position[name], name) for name, count in missing.items() if not count]
    heapq.heapify(ready)
    order = []
    while ready:
        _, name = heapq.heappop(ready)
        order.append(name)
        for user in users[name]:
            missing[user] -= 1
            if not missing[user]:
                heapq.heappush(ready, (position[user], user))
    return order


def _output(found: Mapping[str, list[Value]], reference: str) -> Value:
    name, _, index = tensor_name(reference).partition(":")
    values = found.get(name)
    if values is None:
        return Unknown(f"{name!r} lies in a loop or behind one, which is not an operation that a program has")
    number = int(index)
    if len(values) == 1 and isinstance(values[0], (Dead, Unknown, Seed)):
        return values[0]
    if number >= len(values):
        return Unknown(f"{name!r} has no output {number} that a program knows")
    return values[number]


def _constant(nodes: Nodes, node: Any) -> AnyArray:
    value = nodes.constant(node.name)
    if value is None:
        raise RefusedError("has no value")
    return value


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
