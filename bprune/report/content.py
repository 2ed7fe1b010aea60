"""A report as one JSON object: what `--json` prints, and what the page carries along."""

from __future__ import annotations

import dataclasses
import datetime
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from bprune.engines.tensorflow import Precision
from bprune.judgement.measure import data_digest
from bprune.metrics.estimate import Estimate
from bprune.plain import plain
from bprune.report.examples import Example
from bprune.report.findings import Findings, Side
from bprune.report.meaning import Meaning, decibel
from bprune.versions import library_versions

__all__ = ["SCHEMA", "content_of", "provenance"]

SCHEMA = "bprune-report 1"


def content_of(
    findings: Findings, meaning: Meaning, summary: Sequence[str], examples: Sequence[Example]
) -> dict[str, Any]:
    """The report as an object that JSON can hold; NaN and infinities are None."""
    case, choice, rule = findings.case, findings.choice, findings.choice.rule
    content = {
        "schema": SCHEMA,
        "case": case.name,
        "task": case.task.value,
        "summary": list(summary),
        "verdict": findings.comparison.verdict if findings.comparison else None,
        "pruning": {
            "reason": choice.reason,
            "criterion": None if rule is None else rule.criterion.name,
            "scope": None if rule is None else rule.scope.value,
            "threshold": None if rule is None else rule.threshold,
            "sparsity_target": None if rule is None else rule.sparsity,
            "layer_thresholds": {} if rule is None else dict(rule.layer_thresholds),
            "parameters": {} if rule is None else rule.parameters(),
            "before": None if findings.record is None else dataclasses.asdict(findings.record),
        },
        "meaning": {**dataclasses.asdict(meaning), "threshold_db": _decibel(meaning)},
        "layers": [{**dataclasses.asdict(item), "sparsity": item.sparsity} for item in choice.layers],
        "sides": [_side(side) for side in findings.sides],
        "changes": _changes(findings),
        "sweep": _sweep(findings),
        "uncertain_examples": [item.content for item in examples],
        "missing": list(findings.missing),
        "assumptions": list(findings.assumptions),
        "provenance": provenance(findings),
    }
    found: dict[str, Any] = plain(content)
    return found


def _decibel(meaning: Meaning) -> float:
    return decibel(meaning.threshold) if meaning.criterion == "snr" else math.nan


def _side(side: Side) -> dict[str, Any]:
    return {
        "name": side.name,
        "weights": side.weights,
        "nonzeros": side.nonzeros,
        "multiply_adds": side.size.get("multiply_adds"),
        "parameter_bytes": side.size.get("parameter_bytes"),
        "draw_us": side.draw_us,
        "metrics": _estimates(side.metrics),
    }


def _estimates(metrics: Mapping[str, Estimate]) -> dict[str, Any]:
    return {name: dataclasses.asdict(item) for name, item in metrics.items()}


def _changes(findings: Findings) -> dict[str, Any] | None:
    if findings.comparison is None:
        return None
    return {
        name: {**dataclasses.asdict(item.difference), "half_width": item.half_width, "is_clear": item.is_clear}
        for name, item in findings.comparison.metrics.items()
    }


def _sweep(findings: Findings) -> dict[str, Any] | None:
    if findings.sweep is None:
        return None
    content = dataclasses.asdict(findings.sweep)
    content["options"] = json.loads(findings.sweep.options)
    content["search"] = json.loads(findings.sweep.search) if findings.sweep.search else None
    return content


def provenance(findings: Findings) -> dict[str, Any]:
    """Where the numbers come from."""
    draws, plans = findings.draws, [side.prepared.plan for side in findings.sides if side.prepared is not None]
    return {
        "command": findings.command,
        "created_at": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "case_dir": str(findings.case.files.root),
        "checkpoint": findings.case.files.iteration.name,
        "checkpoint_digest": findings.case.checkpoint.digest(),
        "data_digest": None if findings.data is None else data_digest(findings.data),
        "examples": None if findings.data is None else len(findings.data),
        "mc_iters": None if findings.data is None else draws.mc_iters,
        "seed": None if findings.data is None else draws.seed,
        "engine": plans[-1].engine,
        "sampling": plans[-1].sampling,
        "precision": Precision(draws.precision).value,
        "antithetic": draws.antithetic,
        "versions": library_versions(),
    }
