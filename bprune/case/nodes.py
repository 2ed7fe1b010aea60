"""An index over the nodes of a GraphDef, for those who read a graph as data."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import Any

import numpy as np

from bprune.arrays import AnyArray
from bprune.case.bundle_index import VALUE_DTYPES
from bprune.errors import DamagedFileError, InputError, UnsupportedError

__all__ = ["Nodes", "check_constant", "dtype_name", "existing_tensor", "is_control", "node_of", "tensor_name"]

_CONSTANT_LIMIT_ELEMENTS = 1 << 28
_INDEX_DIGITS = 6
_LOOP_ENTRIES = frozenset({"Enter", "RefEnter"})
_LOOP_EXITS = frozenset({"Exit", "RefExit"})
_MERGES = frozenset({"Merge", "RefMerge"})
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
        self._order = self._sorted()

    def _sorted(self) -> list[str]:
        """All nodes after their inputs. Walks over a graph end only where it has no circle, but for loops."""
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
        return ready

    def check_loops(self) -> None:
        """Check how the loops of TensorFlow 1 are linked: its executor crashes or waits for ever on what is not.

        Enter leads into a frame, Exit out of it; all inputs of an operation are in the same frame. What changes from
        step to step enters at a Merge, which NextIteration leads back to; a constant does not.

        Raises:
            DamagedFileError: If an operation reaches into a loop from outside, or a loop does not close.
        """
        frames: dict[str, tuple[str, ...]] = {}  # of what a node gives
        for name in self._order:
            node = self.by_name[name]
            sources = {frames[node_of(item)] for item in node.input if node_of(item) in frames}
            frame = sources.pop() if sources else ()
            inside = node.op in _LOOP_ENDS | _LOOP_EXITS | {"LoopCond"}
            if sources or (inside and not frame):
                raise DamagedFileError(f"the graph's operation {name!r} reaches into a loop, or out of one")
            if node.op in _LOOP_ENTRIES:
                frame = (*frame, node.attr["frame_name"].s.decode("utf-8", "replace"))
            frames[name] = frame[:-1] if node.op in _LOOP_EXITS else frame
        for node in self.by_name.values():
            for source in map(self.by_name.__getitem__, self.inputs(node.name)):
                merges = node.op in _MERGES
                astray = source.op in _LOOP_ENDS and (not merges or frames[source.name] != frames[node.name])
                if astray or (source.op in _LOOP_ENTRIES and merges == source.attr["is_constant"].b):
                    raise DamagedFileError(f"the graph's operation {node.name!r} is wrongly linked to {source.name!r}")

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


def existing_tensor(nodes: Nodes, name: str | None) -> str | None:
    """The canonical name of a tensor that a user or a file names; None for None.

    Raises:
        InputError: If there is no such operation or output, with near misses.
    """
    if name is None:
        return None
    if node_of(name) not in nodes:
        raise InputError(
            f"there is no operation {node_of(name)!r} in the graph",
            hint="Operation names are listed in OpsNames.txt; near misses: " + (_near(nodes, name) or "none") + ".",
        )
    index = tensor_name(name).removeprefix(f"{node_of(name)}:")
    if not (index.isdecimal() and index.isascii() and len(index) < _INDEX_DIGITS):
        raise InputError(
            f"{name!r} does not name a tensor",
            hint=f"Give {node_of(name)} or, for a further output, {node_of(name)}:1.",
        )
    return tensor_name(name)


def _near(nodes: Nodes, name: str) -> str:
    return ", ".join(difflib.get_close_matches(node_of(name), list(nodes.by_name), n=3))


def check_constant(node: Any) -> None:
    """Refuse a Const that claims more elements than fit in memory, or what TensorFlow aborts on.

    Raises:
        DamagedFileError: If the claimed size is negative or above the limit, or type and values do not fit.
        UnsupportedError: If it holds neither numbers nor texts, but handles for example.
    """
    tensor = node.attr["value"].tensor
    dtype = dtype_name(node.attr["dtype"].type)
    if tensor.dtype != node.attr["dtype"].type:
        raise DamagedFileError(f"the constant {node.name!r} of the graph claims two types")
    if dtype not in VALUE_DTYPES | {"string"}:
        raise UnsupportedError(f"the constant {node.name!r} of the graph is of the type {dtype}")
    sizes = [dim.size for dim in tensor.tensor_shape.dim]
    elements = 1
    for size in sizes:
        elements *= size
        if size < 0 or elements > _CONSTANT_LIMIT_ELEMENTS:
            raise DamagedFileError(f"the constant {node.name!r} of the graph claims the shape {sizes}")
    item_bytes = 0 if dtype == "string" else np.dtype(dtype).itemsize
    if tensor.tensor_content and len(tensor.tensor_content) != elements * item_bytes:
        raise DamagedFileError(f"the constant {node.name!r} of the graph has not the values of its shape {sizes}")


def dtype_name(number: int) -> str:
    """The NumPy name of a TensorFlow type number.

    Raises:
        DamagedFileError: If there is no such type.
    """
    import tensorflow as tf

    try:
        return str(tf.as_dtype(number).base_dtype.name)
    except TypeError as error:
        raise DamagedFileError(f"the graph names an unknown dtype {number}") from error
