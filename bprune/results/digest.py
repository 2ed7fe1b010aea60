"""A digest of what results say: the same however the work was divided, and whenever it was done."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from bprune.arrays import AnyArray

if TYPE_CHECKING:
    from bprune.results.read import Results

__all__ = ["digest_of"]

_OF_THE_OCCASION = frozenset({"command", "created_at", "inference_runtime_s", "plan", "case"})
"""Parts of a run record that differ between two runs of the same; a plan tells of threads."""
_EXAMPLES = 64
"""How many examples' draws are read at a time; part of what the digest is."""


def digest_of(results: Results) -> str:
    """The SHA-256 of everything in a results file that is not of the occasion, as "sha256:<hex>".

    Two files with the same digest have the same inputs, labels, layers, draws and statistics to the last bit, and came
    from the same checkpoint with the same options and versions.

    Args:
        results: Open results.

    Raises:
        DamagedFileError: If a part cannot be read.
    """
    digest = hashlib.sha256()
    run = _lasting(dataclasses.asdict(results.run))
    members = [_lasting(member) for member in run.pop("members")]
    run |= {"members": members} if members else {}
    layers = [dataclasses.asdict(layer) for layer in results.layers]
    digest.update(json.dumps([results.task.value, run, layers], sort_keys=True).encode())

    def add(name: str, values: AnyArray | None) -> None:
        if values is not None:
            digest.update(f"{name} {values.dtype.str} {values.shape}".encode())
            digest.update(np.ascontiguousarray(values).data)

    add("inputs", results.inputs)
    add("labels", results.labels)
    add("draws_made", results.draws_made)
    for summary in (results.summary, *results.members):
        for item in dataclasses.fields(summary):
            add(item.name, getattr(summary, item.name))
    for start in range(0, len(results.draws_made), _EXAMPLES):
        draws = results.draws(slice(start, start + _EXAMPLES))
        if draws is not None:
            add("values", draws.values)
            add("scale", draws.scale)
    return f"sha256:{digest.hexdigest()}"


def _lasting(record: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in record.items() if name not in _OF_THE_OCCASION}
