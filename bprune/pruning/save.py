"""Writing a pruned case: a new directory that is a case again; the source is only read."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bprune.arrays import BoolArray
from bprune.atomic import whole_directory
from bprune.case.case import Case
from bprune.case.paths import PRUNING_RECORD
from bprune.case.write import CaseContent, fill_case
from bprune.errors import OutputError, UsageError
from bprune.posterior.posterior import Network
from bprune.posterior.values import pruned_values
from bprune.pruning.counts import Counts, count_layers, count_total
from bprune.pruning.record import json_number
from bprune.pruning.threshold import Rule
from bprune.versions import library_versions

__all__ = ["check_target", "pruning_record", "save_pruned_case"]


def save_pruned_case(
    case: Case,
    network: Network,
    masks: Mapping[str, BoolArray],
    rule: Rule,
    out: Path,
    *,
    search: Mapping[str, object] | None = None,
    overwrite: bool = False,
) -> None:
    """Write a pruned case.

    Every variable of the source checkpoint is there, optimizer slots included, so that the user's own program can
    restore it. A pruned weight has the family's pruned location and an untransformed scale of -1e4.

    Args:
        case: The source.
        network: Its posteriors.
        masks: True where a weight is kept, by posterior name.
        rule: How the masks were chosen.
        out: The directory to create.
        search: How the sparsity was found, for the record.
        overwrite: Whether a pruned case that is there already is replaced.

    Raises:
        OutputError: If `out` exists and may not be replaced, or cannot be written; nothing is left then.
        UsageError: If `out` is the source or holds it.
    """
    check_target(case, out, overwrite=overwrite)
    values = case.checkpoint.read_all()
    values.update(pruned_values(network, masks, values))
    content = CaseContent(
        name=case.files.iteration.name,
        values=values,
        meta=case.files.meta.read_bytes(),
        layers=case.layer_names.layers,
        operations=case.ops_names.operations or tuple(node.name for node in case.graph.graph_def.node),
        roles=case.roles.annotations(),
        record=pruning_record(case, network, masks, rule, search),
        heldout=case.files.heldout,
    )
    with whole_directory(out, overwrite=overwrite) as folder:
        fill_case(folder, content)


def check_target(case: Case, out: Path, *, overwrite: bool = False) -> None:
    """Refuse a target before any work is done for it.

    Raises:
        OutputError: If `out` exists and may not be replaced, or its folder does not exist.
        UsageError: If `out` is the source or holds it.
    """
    source, target = case.files.root.resolve(), out.resolve()
    if target == source or target in source.parents or target == case.files.iteration.prefix.parent.resolve():
        raise UsageError(f"{out} is or holds the source case, which is never written", hint="Choose another --out.")
    if out.exists() and not overwrite:
        raise OutputError(
            f"{out} exists already and was left as it is",
            hint="Choose another name with --out, or pass --overwrite (overwrite=True in Python).",
        )
    if out.exists() and not (out / PRUNING_RECORD).is_file():
        raise OutputError(
            f"{out} is not a pruned case, so it is not replaced", hint="Choose another --out, or remove it yourself."
        )
    if not out.absolute().parent.is_dir():
        raise OutputError(f"the folder {out.absolute().parent} does not exist", hint="Create it first.")


def pruning_record(
    case: Case,
    network: Network,
    masks: Mapping[str, BoolArray],
    rule: Rule,
    search: Mapping[str, object] | None = None,
) -> dict[str, Any]:
    """The content of pruning.json: what was pruned from what, and how."""
    record = {
        "schema": "bprune-pruning 1",
        "created_at": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "criterion": rule.criterion.name,
        "scope": rule.scope.value,
        "threshold": json_number(rule.threshold),
        "sparsity_target": rule.sparsity,
        "layer_thresholds": {name: json_number(value) for name, value in rule.layer_thresholds.items()},
        "parameters": rule.parameters(),
        "total": _counts(count_total(network, masks)),
        "layers": [_counts(item) for item in count_layers(network, masks)],
        "unpruned": [{"name": item.name, "reason": item.reason} for item in network.unrecognised],
        "source": {
            "case": case.name,
            "checkpoint": case.files.iteration.name,
            "digest": case.checkpoint.digest(),
        },
        "versions": library_versions(),
    }
    return record if search is None else record | {"search": dict(search)}


def _counts(item: Counts) -> dict[str, Any]:
    return {
        "name": item.name,
        "weights": item.weights,
        "nonzeros": item.nonzeros,
        "nonzero_parameters": item.nonzero_parameters,
        "sparsity": item.sparsity,
    }
