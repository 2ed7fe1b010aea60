"""Writing a whole case into a folder that is not visible yet."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bprune.arrays import AnyArray
from bprune.case.checkpoint import write_checkpoint
from bprune.case.names import LayerNote, format_layer_names, format_ops_names
from bprune.case.paths import HELDOUT, LAYER_NAMES, OPS_NAMES, PRUNING_RECORD, STATE_FILE

__all__ = ["CaseContent", "fill_case", "meta_graph_of"]


@dataclass(frozen=True)
class CaseContent:
    """What a case that was made from another one holds.

    Attributes:
        name: The checkpoint's name, such as `model-100.ckpt`.
        values: The variables' values, by name.
        meta: The serialised MetaGraphDef.
        layers: The layers, in graph order.
        operations: The names of the graph's operations, in graph order.
        roles: Annotations of the operations: role to names.
        record: The content of pruning.json.
        heldout: Held-out data to copy, or None.
    """

    name: str
    values: Mapping[str, AnyArray]
    meta: bytes
    layers: Iterable[LayerNote]
    operations: Iterable[str]
    roles: dict[str, tuple[str, ...]]
    record: Mapping[str, Any]
    heldout: Path | None


def fill_case(folder: Path, content: CaseContent) -> None:
    """Write all files of a case into an empty folder; who calls makes the folder visible as a whole.

    Raises:
        OutputError: If a file cannot be written.
    """
    write_checkpoint(folder / content.name, content.values)
    (folder / f"{content.name}.meta").write_bytes(content.meta)
    (folder / LAYER_NAMES).write_text(format_layer_names(content.layers), encoding="utf-8")
    (folder / OPS_NAMES).write_text(format_ops_names(content.operations, content.roles), encoding="utf-8")
    state = f'model_checkpoint_path: "{content.name}"\nall_model_checkpoint_paths: "{content.name}"\n'
    (folder / STATE_FILE).write_text(state, encoding="utf-8")
    (folder / PRUNING_RECORD).write_text(json.dumps(content.record, indent=2) + "\n", encoding="utf-8")
    if content.heldout is not None:
        shutil.copyfile(content.heldout, folder / HELDOUT)


def meta_graph_of(graph: Any, variables: Mapping[str, Any]) -> bytes:
    """A graph as the content of a `.meta` file, with a `tf.compat.v1.train.Saver` for its variables.

    Args:
        graph: The `tf.Graph`, the default graph of the caller.
        variables: Its variables, by the name that the checkpoint has for them.
    """
    import tensorflow as tf

    saver = tf.compat.v1.train.Saver(dict(variables)) if variables else None
    meta_graph = tf.compat.v1.train.export_meta_graph(
        graph_def=graph.as_graph_def(),
        saver_def=saver.as_saver_def() if saver else None,
        strip_default_attrs=True,
    )
    content: bytes = meta_graph.SerializeToString(deterministic=True)
    return content
