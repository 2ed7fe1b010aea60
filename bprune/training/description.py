"""A network on its way into a case: a graph, the variables that it reads, and the roles of its tensors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bprune.arrays import AnyArray
from bprune.case.names import LayerNote
from bprune.case.roles import Roles
from bprune.case.subgraph import InferenceGraph

__all__ = ["Description"]


@dataclass(frozen=True)
class Description:
    """What does not change while a network trains, and how to read what does.

    Attributes:
        layers: The layers, in graph order.
        graph: The graph from the input to all tensors that have a role.
        roles: The roles.
        shapes: Shape and dtype of every variable of the checkpoint, by name.
        values: Reads the current values of these variables. With tf.distribute all workers must call it.
    """

    layers: tuple[LayerNote, ...]
    graph: InferenceGraph
    roles: Roles
    shapes: dict[str, tuple[tuple[int, ...], str]]
    values: Callable[[], dict[str, AnyArray]]
