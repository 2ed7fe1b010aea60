"""An index over the nodes of a GraphDef, for those who read a graph as data."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import Any

import numpy as np

from bprune.arrays import AnyArray
from bprune.errors import DamagedFileError

__all__ = ["Nodes", "is_control", "node_of", "tensor_name"]

_CONSTANT_LIMIT_ELEMENTS = 1 << 28
_HANDLES = (20, 21)  # the numbers of the types resource and variant
_LOOP_ENDS = frozenset({"NextIteration", "RefNextIteration"})


def is_control(reference: str) -> bool:
    """Whether a node input is a control dependency (`^name`)."""
    return reference.startswith("^")


def node_of(reference: str) -> str:
    """The node's name in a node input: `name` of `name`, `name:1` and `^name`."""
    return reference.lstrip("^").split(":", 1)[0]


def tensor_name(reference: str) -> str:
    """The canonical name of a tensor: `name:0` for `name`."""
    return reference if ":" in reference else f"{reference}:0"


class Nodes:
    """Lookup by name, consumers, ancestors and constants of a GraphDef's nodes.

    Args:
        node_defs: The NodeDef messages, in graph order. They are not copied and not changed.

    Raises:
        DamagedFileError: If two nodes have the same name, an input names no node, or nodes wait for each other in a
            circle that is not a loop.
    """

    def __init__(self, node_defs: Iterable[Any]) -> None:
        self.by_name: dict[str, Any] = {}
        for node in node_defs:
            if node.name in self.by_name:
                raise DamagedFileError(f"the graph has two operations named {node.name!r}")
            self.by_name[node.name] = node
        for node in self.by_name.values():
            for reference in node.input:
                if node_of(reference) not in self.by_name:
                    raise DamagedFileError(
                        f"the graph's operation {node.name!r} has an input {reference!r} that is not in the graph"
                    )
        self._check_circles()

    def _check_circles(self) -> None:
        """Walks over a graph end only where it has no circle, but for loops, which close at NextIteration."""
        users: dict[str, list[str]] = {name: [] for name in self.by_name}
        missing = dict.fromkeys(self.by_name, 0)
        for node in self.by_name.values():
            for source in map(node_of, node.input):
                if self.by_name[source].op not in _LOOP_ENDS:
                    users[source].append(node.name)
                    missing[node.name] += 1
        ready = [name for name, count in missing.items() if not count]
        for name in ready:  # grows while it is walked
            for user in users[name]:
                missing[user] -= 1
                if not missing[user]:
                    ready.append(user)
        if len(ready) < len(missing):
            stuck = next(name for name, count in missing.items() if count)
            raise DamagedFileError(f"the graph's operation {stuck!r} waits for itself: the graph has a circle")

    def __contains__(self, name: str) -> bool:
        return name in self.by_name

    def __getitem__(self, name: str) -> Any:
        return self.by_name[name]

    def __iter__(self) -> Iterator[Any]:
        return iter(self.by_name.values())

    def inputs(self, name: str) -> list[str]:
        """The names of the nodes that feed data into a node, in order."""
        return [node_of(item) for item in self.by_name[name].input if not is_control(item)]

    @cached_property
    def consumers(self) -> dict[str, list[str]]:
        """For every node the nodes that use its data outputs, in graph order."""
        users: dict[str, list[str]] = {name: [] for name in self.by_name}
        for node in self.by_name.values():
            for source in dict.fromkeys(self.inputs(node.name)):
                users[source].append(node.name)
        return users

    def ancestors(self, starts: Iterable[str], *, stop: Iterable[str] = (), control: bool = False) -> set[str]:
        """The nodes that the given nodes need, themselves included.

        Args:
            starts: Node names.
            stop: Nodes whose own inputs are not followed.
            control: Whether control dependencies are followed too.
        """
        stops = set(stop)
        seen: set[str] = set()
        waiting = list(starts)
        while waiting:
            name = waiting.pop()
            if name in seen:
                continue
            seen.add(name)
            if name not in stops:
                inputs = self.by_name[name].input
                waiting.extend(node_of(item) for item in inputs if control or not is_control(item))
        return seen

    def constant(self, name: str) -> AnyArray | None:
        """The value of a Const node, or None when the node is not one.

        Raises:
            DamagedFileError: If the constant claims an impossible size or cannot be decoded.
        """
        node = self.by_name[name]
        if node.op != "Const":
            return None
        check_constant(node)
        import tensorflow as tf

        try:
            return np.asarray(tf.make_ndarray(node.attr["value"].tensor))
        except (TypeError, ValueError) as error:
            raise DamagedFileError(f"the constant {name!r} of the graph cannot be decoded: {error}") from error

    def scalar(self, name: str) -> float | None:
        """The value of a Const node with one number in it, or None."""
        value = self.constant(name)
        if value is None or value.size != 1 or not (value.dtype.kind in "fiu" or value.dtype.name == "bfloat16"):
            return None
        return float(value.reshape(()))


def check_constant(node: Any) -> None:
    """Refuse a Const that claims more elements than fit in memory, or two types: TensorFlow aborts on some of those.

    Raises:
        DamagedFileError: If the claimed size is negative or above the limit, the types differ, or it holds a handle.
    """
    dtype = node.attr["value"].tensor.dtype
    if dtype != node.attr["dtype"].type:
        raise DamagedFileError(f"the constant {node.name!r} of the graph claims two types")
    if dtype in _HANDLES:
        raise DamagedFileError(f"the constant {node.name!r} of the graph is not a value but a handle")
    sizes = [dim.size for dim in node.attr["value"].tensor.tensor_shape.dim]
    elements = 1
    for size in sizes:
        elements *= size
        if size < 0 or elements > _CONSTANT_LIMIT_ELEMENTS:
            raise DamagedFileError(f"the constant {node.name!r} of the graph claims the shape {sizes}")
