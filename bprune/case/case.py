"""A case: one trained network, described by its files alone."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from bprune.case.checkpoint import Checkpoint, open_checkpoint
from bprune.case.metagraph import read_meta_graph
from bprune.case.names import LayerNames, LayerNote, OpsNames, read_layer_names, read_ops_names
from bprune.case.nodes import Nodes, node_of
from bprune.case.notebook import case_html
from bprune.case.paths import CaseFiles, find_case
from bprune.case.roles import Roles, find_roles
from bprune.case.subgraph import InferenceGraph, extract
from bprune.case.task import Task
from bprune.errors import InputError, UsageError

__all__ = ["Case", "Loading", "load_case"]


@dataclass(frozen=True)
class Loading:
    """How a case was loaded, besides its path and checkpoint; see `load_case`."""

    input_op: str | None = None
    output_op: str | None = None
    task: str | None = None
    feeds: tuple[tuple[str, float], ...] = ()
    trust_graph: bool = False


@dataclass(frozen=True)
class Case:
    """One trained network, as data. Nothing of it has been run.

    Attributes:
        files: Where it came from.
        layer_names: The layers and their training variables.
        ops_names: The operations and annotated roles.
        checkpoint: The values of the variables, read on demand.
        roles: Input, output and label tensors.
        graph: The inference sub-graph, checked.
        loading: How it was loaded, so that another process can load the same.
    """

    files: CaseFiles
    layer_names: LayerNames
    ops_names: OpsNames
    checkpoint: Checkpoint
    roles: Roles
    graph: InferenceGraph
    loading: Loading

    @property
    def name(self) -> str:
        """The name of the case directory."""
        return self.files.root.resolve().name

    @property
    def task(self) -> Task:
        """What the network predicts."""
        return self.roles.task

    def __repr__(self) -> str:
        return f"Case({str(self.files.root)!r}, {self.files.iteration.name}, {len(self.layer_names.layers)} layers)"

    def _repr_html_(self) -> str:
        return case_html(self)


def load_case(
    path: str | os.PathLike[str],
    *,
    checkpoint: str | None = None,
    input_op: str | None = None,
    output_op: str | None = None,
    task: Task | str | None = None,
    feeds: Mapping[str, float] | None = None,
    trust_graph: bool = False,
) -> Case:
    """Load a case from its files alone: no training code is needed and none is run.

    Args:
        path: The case directory, its checkpoint folder, a checkpoint prefix, or any file of the case.
        checkpoint: Which iteration: its number, its name, or None for the latest.
        input_op: The input operation, where the graph leaves a choice.
        output_op: The output operation, where the graph leaves a choice.
        task: "classification" or "regression", where the graph does not tell.
        feeds: Values for further placeholders, such as `{"keep_prob": 1.0}`.
        trust_graph: Run operations that are not on the allow-list. Only for graphs that you wrote yourself.

    Returns:
        The case.

    Raises:
        MissingFileError: If a file is missing.
        DamagedFileError: If a file is truncated, altered or of another format.
        RefusedGraphError: If the graph holds operations that BPrune does not run.
        AmbiguousCaseError: If a role has several candidates.
        InputError: If graph, checkpoint and names do not fit together.
        UsageError: If there is no such task, or the path is none.

    Example:
        >>> case = load_case("sample_checkpoints/digits_conv")
    """
    if not isinstance(path, (str, os.PathLike)):
        raise UsageError(f"a case is the path of a directory; a {type(path).__name__} was given")
    chosen_task = _task(task)
    feeds = {node_of(name): value for name, value in (feeds or {}).items()}
    loading = Loading(input_op, output_op, chosen_task and chosen_task.value, tuple(feeds.items()), trust_graph)
    files = find_case(os.fspath(path), checkpoint)
    values = open_checkpoint(files.iteration.prefix)
    layer_names = read_layer_names(files.layer_names) if files.layer_names else None
    ops_names = read_ops_names(files.ops_names) if files.ops_names else OpsNames(())
    meta_graph = read_meta_graph(files.meta, trust_graph=trust_graph)
    nodes = Nodes(meta_graph.graph_def.node)
    roles = find_roles(
        nodes,
        ops_names,
        input_op=input_op,
        output_op=output_op,
        task=chosen_task,
        feeds=feeds,
    )
    graph = extract(meta_graph, nodes, input=roles.input, outputs=roles.outputs, feeds=feeds, trust_graph=trust_graph)
    _check_variables(graph, values, files)
    if layer_names is None:
        layer_names = _layers_of_graph(graph)
    _check_layer_names(layer_names, values, files)
    return Case(files, layer_names, ops_names, values, roles, graph, loading)


def _task(task: Task | str | None) -> Task | None:
    try:
        return None if task is None else Task(task)
    except ValueError:
        raise UsageError(f"the task {task!r} is not one of {', '.join(item.value for item in Task)}") from None


def _check_variables(graph: InferenceGraph, values: Checkpoint, files: CaseFiles) -> None:
    """Names, shapes and dtypes of graph and checkpoint must agree exactly."""
    for variable in graph.variables:
        entry = values.entries.get(variable.name)
        if entry is None:
            raise InputError(
                f"the checkpoint {files.iteration.name} has no variable {variable.name!r}, which the graph reads",
                hint=f"Do {files.meta.name} and {files.iteration.name} belong to the same training?",
            )
        if variable.shape is not None and variable.shape != entry.shape:
            raise InputError(
                f"the variable {variable.name!r} has the shape {list(variable.shape)} in the graph and "
                f"{list(entry.shape)} in the checkpoint",
                hint=f"Do {files.meta.name} and {files.iteration.name} belong to the same training?",
            )
        if variable.dtype != entry.dtype:
            raise InputError(
                f"the variable {variable.name!r} is {variable.dtype} in the graph and {entry.dtype} in the checkpoint"
            )


def _check_layer_names(layer_names: LayerNames, values: Checkpoint, files: CaseFiles) -> None:
    missing = [name for name in layer_names.variables if name not in values.entries]
    if missing:
        raise InputError(
            f"LayerNames.txt lists variables that the checkpoint {files.iteration.name} does not have: "
            + ", ".join(missing[:5]),
            hint="LayerNames.txt and the checkpoint must come from the same training.",
        )


def _layers_of_graph(graph: InferenceGraph) -> LayerNames:
    """Without LayerNames.txt: the variables that the network reads, by the scope in their names."""
    layers: dict[str, list[str]] = {}
    for variable in graph.variables:
        layers.setdefault(variable.name.rsplit("/", 1)[0], []).append(variable.name)
    notes = (LayerNote(name, "unknown", None, None, tuple(variables)) for name, variables in layers.items())
    return LayerNames(tuple(notes), annotated=False)
