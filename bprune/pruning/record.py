"""pruning.json: how a pruned case came to be."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bprune.errors import DamagedFileError

__all__ = ["PruningRecord", "json_number", "read_pruning_record"]

_LIMIT_BYTES = 64 << 20


@dataclass(frozen=True)
class PruningRecord:
    """What pruning.json says of a case.

    Attributes:
        criterion: Name of the criterion.
        threshold: The threshold, in units of the criterion; None when a sparsity was asked for.
        sparsity_target: The sparsity that was asked for, or None.
        source_case: Name of the case that was pruned.
        source_checkpoint: Name of its checkpoint.
        scope: `global` or `layer`: of what the sparsity is a fraction.
        parameters: What else the scores depend on, by name, such as `prior_scale`.
        source_digest: Digest of the checkpoint that was pruned; empty where the record has none.
    """

    criterion: str
    threshold: float | None
    sparsity_target: float | None
    source_case: str
    source_checkpoint: str
    scope: str = "global"
    parameters: Mapping[str, float] = field(default_factory=dict)
    source_digest: str = ""

    def describe(self) -> str:
        """The record in a line."""
        rule = (
            f"below {self.threshold:g}" if self.threshold is not None else f"lowest {self.sparsity_target or 0.0:.4g}"
        )
        of = " of every layer" if self.scope == "layer" else ""
        given = ", ".join(f"{name} {value:g}" for name, value in self.parameters.items())
        line = f"pruned from {self.source_case} ({self.source_checkpoint}): {self.criterion} {rule}{of}"
        return f"{line} ({given})" if given else line


def read_pruning_record(path: Path) -> PruningRecord:
    """Read a pruning.json.

    Raises:
        DamagedFileError: If it is not one.
    """
    try:
        if path.stat().st_size > _LIMIT_BYTES:
            raise ValueError(f"it has more than {_LIMIT_BYTES >> 20} MiB")
        content = json.loads(path.read_bytes())
        if (content["threshold"] is None) == (content["sparsity_target"] is None):
            raise ValueError("it needs either a threshold or a sparsity")
        return PruningRecord(
            criterion=str(content["criterion"]),
            threshold=_number(content["threshold"]),
            sparsity_target=_number(content["sparsity_target"]),
            source_case=str(content["source"]["case"]),
            source_checkpoint=str(content["source"]["checkpoint"]),
            scope=str(content.get("scope", "global")),
            parameters={str(name): _finite(value) for name, value in content.get("parameters", {}).items()},
            source_digest=str(content["source"].get("digest", "")),
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DamagedFileError(
            f"{path} is not a pruning record: {type(error).__name__}: {error}",
            hint="Prune the source again; the checkpoint beside it may be sound.",
        ) from error


def json_number(value: float | None) -> float | str | None:
    """A number for JSON, which has no word for infinite ones."""
    return value if value is None or math.isfinite(value) else str(value)


def _number(value: object) -> float | None:
    if value is None:
        return None
    return float(value) if value in ("inf", "-inf") and isinstance(value, str) else _finite(value)


def _finite(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ValueError(f"{value!r} is not a number")
    return float(value)
