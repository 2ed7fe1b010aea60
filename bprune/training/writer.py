"""Writing a case while a network trains: the description once, then one checkpoint after another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from bprune.arrays import AnyArray
from bprune.atomic import output_errors, whole_file, write_bytes, write_text
from bprune.case.checkpoint import write_checkpoint
from bprune.case.names import format_layer_names, format_ops_names
from bprune.case.nodes import node_of
from bprune.case.paths import HELDOUT, LAYER_NAMES, OPS_NAMES, STATE_FILE, checkpoint_name
from bprune.case.roles import Roles
from bprune.errors import UsageError
from bprune.training.chief import is_chief
from bprune.training.description import Description
from bprune.training.metagraph import build_meta_graph

__all__ = ["CaseWriter", "check_heldout"]


class CaseWriter:
    """Writes one case. Every file appears whole or not at all; a checkpoint is visible only when it is complete.

    Args:
        case_dir: The case directory; it is created.
        keep: How many of the checkpoints written here are kept; None keeps all.
        heldout: Held-out inputs `[example, ...]` and labels `[example, ...]`, written to heldout.npz.
        chief: Whether this process writes; None finds out.

    Raises:
        UsageError: If an argument is out of range.
    """

    def __init__(
        self,
        case_dir: str | Path,
        *,
        keep: int | None = None,
        heldout: tuple[Any, Any] | None = None,
        chief: bool | None = None,
    ) -> None:
        if keep is not None and keep < 1:
            raise UsageError(f"keep={keep}: at least 1 checkpoint has to be kept", hint="keep=None keeps all.")
        self.case_dir = Path(case_dir)
        self.is_chief = is_chief() if chief is None else chief
        self._keep = keep
        self._heldout = check_heldout(heldout) if heldout is not None else None
        self._description: Description | None = None
        self._meta = b""
        self._written: list[int] = []

    @property
    def is_described(self) -> bool:
        """Whether the network is known already."""
        return self._description is not None

    def describe(self, description: Description) -> None:
        """Take the network's description and write the files that do not change.

        Raises:
            OutputError: If a file cannot be written.
        """
        self._description = description
        if not self.is_chief:
            return
        meta_graph = build_meta_graph(description)
        roles = _renamed(description.roles, meta_graph.renamed)
        self._meta = meta_graph.content
        with output_errors(self.case_dir):
            self.case_dir.mkdir(parents=True, exist_ok=True)
        write_text(self.case_dir / LAYER_NAMES, format_layer_names(description.layers), overwrite=True)
        operations = format_ops_names(meta_graph.operations, roles.annotations())
        write_text(self.case_dir / OPS_NAMES, operations, overwrite=True)
        if self._heldout is not None:
            with whole_file(self.case_dir / HELDOUT, overwrite=True) as path, open(path, "wb") as stream:
                np.savez_compressed(stream, x=self._heldout[0], y=self._heldout[1])

    def save(self, iteration: int) -> Path | None:
        """Write a checkpoint of the current values.

        Args:
            iteration: The training iteration, at least 0.

        Returns:
            The checkpoint's prefix; None in a process that does not write.

        Raises:
            OutputError: If a file cannot be written; nothing of the checkpoint is left then.
        """
        if self._description is None:
            raise UsageError("the network was not described yet")
        values = self._description.values()
        if not self.is_chief:
            return None
        prefix = self.case_dir / checkpoint_name(iteration)
        write_bytes(prefix.parent / f"{prefix.name}.meta", self._meta, overwrite=True)
        write_checkpoint(prefix, _finite_shapes(values), overwrite=True)
        if iteration in self._written:
            self._written.remove(iteration)
        self._written.append(iteration)
        self._forget()
        names = [checkpoint_name(number) for number in self._written]
        lines = [f'model_checkpoint_path: "{names[-1]}"'] + [f'all_model_checkpoint_paths: "{name}"' for name in names]
        write_text(self.case_dir / STATE_FILE, "\n".join(lines) + "\n", overwrite=True)
        return prefix

    def _forget(self) -> None:
        """Delete the oldest checkpoints beyond `keep`; the index goes first, so that none is seen half-deleted."""
        while self._keep is not None and len(self._written) > self._keep:
            name = checkpoint_name(self._written.pop(0))
            for pattern in (f"{name}.index", f"{name}.data-*", f"{name}.meta"):
                for path in self.case_dir.glob(pattern):
                    path.unlink(missing_ok=True)


def _finite_shapes(values: Mapping[str, AnyArray]) -> dict[str, AnyArray]:
    """Without what a checkpoint of numbers cannot hold (strings, objects)."""
    return {name: value for name, value in values.items() if value.dtype.kind not in "OSU"}


def _renamed(roles: Roles, renamed: Mapping[str, str]) -> Roles:
    def new(name: str | None) -> str | None:
        if name is None or node_of(name) not in renamed:
            return name
        return name.replace(node_of(name), renamed[node_of(name)], 1)

    return replace(
        roles,
        input=new(roles.input) or roles.input,
        output=new(roles.output) or roles.output,
        scale=new(roles.scale),
        label=new(roles.label),
        log_prob=new(roles.log_prob),
        accuracy=new(roles.accuracy),
        samples=tuple(new(name) or name for name in roles.samples),
    )


def check_heldout(heldout: tuple[Any, Any]) -> tuple[AnyArray, AnyArray]:
    """Held-out data as two arrays of the same length.

    Raises:
        UsageError: If they are not, or cannot be stored as plain numbers.
    """
    if not isinstance(heldout, (tuple, list)) or len(heldout) != 2:
        raise UsageError("heldout must be a pair of arrays (inputs, labels)")
    inputs, labels = (np.asarray(item) for item in heldout)
    for name, values in (("inputs", inputs), ("labels", labels)):
        if values.ndim == 0 or values.dtype.kind not in "biuf":
            raise UsageError(f"the held-out {name} must be an array of numbers; they are {values.dtype} {values.shape}")
    if len(inputs) != len(labels) or not len(inputs):
        raise UsageError(f"held-out inputs and labels differ in length: {len(inputs)} and {len(labels)}")
    return inputs, labels
