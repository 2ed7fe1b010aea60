"""What a results file says about itself: schema version, root attributes, the records of the run and of its layers."""

from __future__ import annotations

import dataclasses
import datetime
import importlib.metadata
import json
import math
import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, SupportsIndex

from bprune.case.task import Task
from bprune.errors import UsageError
from bprune.posterior.snr import SNR_QUANTILES
from bprune.results.members import MemberRecord, members_from_json, members_json
from bprune.results.text import plain_text, text_digest

__all__ = [
    "ADDED",
    "ATTRIBUTES",
    "BLOCKS_ADDED",
    "CONVENTIONS",
    "ENSEMBLE_VERSION",
    "LATEST_VERSION",
    "LIBRARY",
    "SCHEMA_VERSION",
    "SNR_QUANTILES",
    "WIDENED",
    "LayerRecord",
    "RunRecord",
    "provenance",
    "sparsity",
    "text_digest",
]

SCHEMA_VERSION = 4
"""Version 2 added `precision` and `plan`; files of version 1 are read as float32 without a plan.

Version 3 added `antithetic` and `stopping`; older files are read as independent draws of a fixed number.

Version 4 added the group `blocks`, statistics of blocks of draws; metrics of older files have no MC standard error.
"""

ENSEMBLE_VERSION = 5
"""The version of files of ensembles: with the attribute `members`, the groups `members` and `split`, a chain for each
member, also in `blocks`, and `layers/member`. A file of one network stays what it was, and says so."""

LATEST_VERSION = ENSEMBLE_VERSION

CONVENTIONS = "CF-1.11"
LIBRARY = "bprune"

WIDENED = {"bool": "u1", "float16": "f4"}
"""Dtypes of inputs that netCDF cannot hold, and the larger ones that hold the same values."""

ATTRIBUTES: Mapping[str, type] = {
    "schema_version": int,
    "task": str,
    "mc_iters": int,
    "seed": int,
    "engine": str,
    "sampling": str,
    "precision": str,
    "plan": str,
    "antithetic": int,
    "stopping": str,
    "members": str,
    "threshold": float,
    "criterion": str,
    "checkpoint_digest": str,
    "command": str,
    "case": str,
    "inference_runtime_s": float,
    "created_at": str,
    "inference_library": str,
    "inference_library_version": str,
    "versions": str,
    "provenance": str,
    "provenance_digest": str,
}
"""The root attributes that a reader needs. `Conventions`, `title`, `history` and `source` are for people."""

ADDED: Mapping[str, int] = {"precision": 2, "plan": 2, "antithetic": 3, "stopping": 3, "members": ENSEMBLE_VERSION}
"""The schema version that brought an attribute, where it is not the first."""

BLOCKS_ADDED = 4
"""The schema version that brought the group `blocks`."""


@dataclass(frozen=True)
class LayerRecord:
    """What a results file says about one layer.

    Attributes:
        name: The layer's name.
        weights: Number of prunable weights.
        nonzeros: Number of them that are kept.
        snr_quantiles: SNR at each of `SNR_QUANTILES`; NaN where the layer has no posterior.
        member: The member of an ensemble that it is a layer of, from 0; its name then begins with that number.

    Raises:
        UsageError: If there are more non-zeros than weights, or not one quantile for each of `SNR_QUANTILES`.
    """

    name: str
    weights: int
    nonzeros: int
    snr_quantiles: tuple[float, ...] = (math.nan,) * len(SNR_QUANTILES)
    member: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.nonzeros <= self.weights:
            raise UsageError(f"layer {self.name} has {self.nonzeros} non-zeros of {self.weights} weights")
        if len(self.snr_quantiles) != len(SNR_QUANTILES):
            raise UsageError(f"layer {self.name} has {len(self.snr_quantiles)} quantiles, {len(SNR_QUANTILES)} needed")
        object.__setattr__(self, "name", plain_text(self.name))
        object.__setattr__(self, "weights", operator.index(self.weights))
        object.__setattr__(self, "nonzeros", operator.index(self.nonzeros))
        object.__setattr__(self, "snr_quantiles", tuple(float(value) for value in self.snr_quantiles))

    @property
    def sparsity(self) -> float:
        """Fraction of the prunable weights that are pruned, in [0, 1]; 0 for a layer without any."""
        return sparsity(self.weights, self.nonzeros)


def sparsity(weights: int, nonzeros: int) -> float:
    """Fraction of the weights that are pruned, in [0, 1]; 0 when there are none."""
    return 1.0 - nonzeros / weights if weights else 0.0


def _library_version() -> str:
    try:
        return importlib.metadata.version(LIBRARY)
    except importlib.metadata.PackageNotFoundError:  # run from a source tree that was never installed
        return "0+unknown"


def _now() -> str:
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")


@dataclass(frozen=True)
class RunRecord:
    """How the draws of a results file came to be: its root attributes.

    Attributes:
        mc_iters: Number of draws asked for, of each member of an ensemble; with a rule for stopping the most that an
            example took.
        seed: Seed of the noise, in [0, 2^63); members of an ensemble have their own, made of it.
        engine: Name of the engine.
        sampling: How weights are shared between the examples of a draw.
        checkpoint_digest: Digest of the checkpoint that was run.
        case: The case as the user named it.
        command: The command line, or the Python call.
        threshold: Pruning threshold in units of the criterion, or None when nothing was pruned by a threshold.
        criterion: Name of the pruning criterion, or "none".
        versions: Library name to version.
        inference_runtime_s: Seconds that the draws took; None until the run is finished.
        precision: In which number format products were computed.
        plan: What the engine did, a JSON object as `bprune.engines.plan.Plan.to_json` gives it; empty where not known.
        antithetic: Whether the draws 2k and 2k + 1 are antithetic pairs; 1 or 0 in the file.
        stopping: When the draws of an example ended, a JSON object as
            `bprune.inference.stopping.Stopping.to_json` gives it; empty where all examples have `mc_iters` draws.
        members: The members of an ensemble; none for one network.
        created_at: ISO 8601 time, UTC.
        inference_library_version: Version of BPrune that wrote the file.

    Raises:
        UsageError: If a number is out of range.
    """

    mc_iters: int
    seed: int
    engine: str
    sampling: str
    checkpoint_digest: str
    case: str
    command: str
    threshold: float | None = None
    criterion: str = "none"
    versions: Mapping[str, str] = field(default_factory=dict)
    inference_runtime_s: float | None = None
    precision: str = "float32"
    plan: str = ""
    antithetic: bool = False
    stopping: str = ""
    members: tuple[MemberRecord, ...] = ()
    created_at: str = field(default_factory=_now)
    inference_library_version: str = field(default_factory=_library_version)

    def __post_init__(self) -> None:
        if self.mc_iters < 1:
            raise UsageError(f"mc_iters is {self.mc_iters}; at least 1 draw is needed")
        if not 0 <= self.seed < 2**63:
            raise UsageError(f"the seed is {self.seed}; it must be in 0 ... 2^63 - 1")
        object.__setattr__(self, "members", tuple(self.members))
        if len(self.members) == 1:
            raise UsageError("an ensemble has at least two members; one network is none")
        for item in dataclasses.fields(self):
            value = getattr(self, item.name)
            if isinstance(value, str):  # members of a `str` enum become plain text too
                object.__setattr__(self, item.name, plain_text(value))
            elif isinstance(value, SupportsIndex):
                object.__setattr__(self, item.name, operator.index(value))
        object.__setattr__(self, "antithetic", bool(self.antithetic))
        for name in ("threshold", "inference_runtime_s"):
            value = getattr(self, name)
            if value is not None and not math.isfinite(value):
                raise UsageError(f"{name} is {value}; it must be a finite number or None")
            object.__setattr__(self, name, None if value is None else float(value))
        versions = {plain_text(name): plain_text(version) for name, version in self.versions.items()}
        object.__setattr__(self, "versions", versions)

    @property
    def schema_version(self) -> int:
        """The version of a file that holds this run."""
        return ENSEMBLE_VERSION if self.members else SCHEMA_VERSION

    def attributes(self, task: Task) -> dict[str, Any]:
        """The root attributes but those on provenance, None written as NaN."""
        record = dataclasses.asdict(self) | {
            "schema_version": self.schema_version,
            "task": task.value,
            "inference_library": LIBRARY,
            "antithetic": int(self.antithetic),
            "threshold": math.nan if self.threshold is None else float(self.threshold),
            "inference_runtime_s": math.nan if self.inference_runtime_s is None else float(self.inference_runtime_s),
            "versions": json.dumps(dict(self.versions), sort_keys=True),
            "members": members_json(self.members),
        }
        if not self.members:
            del record["members"]
        return {name: record[name] for name in ATTRIBUTES if name in record}

    @classmethod
    def from_attributes(cls, attributes: Mapping[str, Any]) -> RunRecord:
        """The inverse of `attributes`.

        Raises:
            ValueError: If `versions` is not a JSON object of strings, `members` is not a JSON list of members, or a
                number is out of range.
            TypeError: If a member is not what it is in every results file.
        """
        values = {item.name: attributes[item.name] for item in dataclasses.fields(cls) if item.name in attributes}
        for name in ("threshold", "inference_runtime_s"):
            values[name] = None if math.isnan(values[name]) else values[name]
        values["versions"] = json.loads(values["versions"])
        values["members"] = members_from_json(values["members"]) if "members" in values else ()
        if not isinstance(values["versions"], dict) or not all(isinstance(v, str) for v in values["versions"].values()):
            raise ValueError("the attribute versions is not a JSON object of strings")
        return cls(**values)


def provenance(run: RunRecord, task: Task, layers: Sequence[LayerRecord], version: int | None = None) -> str:
    """Everything that says where the numbers come from, as one JSON object.

    It repeats the root attributes, and the layers' names and counts; a reader compares the two.

    Args:
        run: How the draws were made.
        task: What the network predicts.
        layers: Its layers.
        version: The schema version of the file; None for that of a new one.
    """
    record = dataclasses.asdict(run) | {
        "schema_version": run.schema_version if version is None else version,
        "inference_library": LIBRARY,
        "task": task.value,
        "layers": [{"name": item.name, "weights": item.weights, "nonzeros": item.nonzeros} for item in layers],
    }
    if not run.members:
        del record["members"]
    return json.dumps(record, sort_keys=True, ensure_ascii=False)
