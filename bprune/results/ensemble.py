"""What a results file says of an ensemble, and which networks can be one."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import fields, replace

from bprune.case.case import Case
from bprune.errors import InputError, UsageError
from bprune.results.members import MemberRecord, common, ensemble_name
from bprune.results.schema import LayerRecord, RunRecord
from bprune.results.text import text_digest

__all__ = ["check_members", "check_outputs", "ensemble_run", "member_layers"]


def check_members(cases: Sequence[Case]) -> None:
    """Refuse networks that cannot be members of one ensemble.

    Args:
        cases: The case of each member.

    Raises:
        InputError: If they differ in task or inputs, or some predict their noise and others do not.
        UsageError: If two are the same checkpoint.
    """
    first = cases[0]
    known: dict[str, Case] = {}
    for case in cases:
        _check_same(cases[0], case, "a {}", first.task.value, case.task.value)
        _check_same(cases[0], case, "inputs of {}", _inputs(first), _inputs(case))
        _check_same(cases[0], case, "{}", _noise(first), _noise(case))
        same = known.setdefault(case.checkpoint.digest(), case)
        if same is not case:
            raise UsageError(
                f"{_place(same)} and {_place(case)} hold the same checkpoint; an ensemble counts every network once",
                hint="Train the members with different seeds; examples/ensemble.py does.",
            )


def check_outputs(cases: Sequence[Case], outputs: Sequence[int]) -> None:
    """Refuse members with other numbers of classes or outputs.

    Args:
        cases: The case of each member.
        outputs: The number of its engine's outputs.

    Raises:
        InputError: If they differ.
    """
    for case, count in zip(cases, outputs, strict=True):
        _check_same(cases[0], case, "{} outputs", str(outputs[0]), str(count))


def _check_same(first: Case, case: Case, form: str, expected: str, found: str) -> None:
    if found != expected:
        raise InputError(
            f"{_place(first)} and {_place(case)} cannot be members of one ensemble: the first has "
            f"{form.format(expected)}, the second {form.format(found)}",
            hint="Members agree on task, inputs and outputs; their layers may differ.",
        )


def _place(case: Case) -> str:
    return str(case.files.root)


def _inputs(case: Case) -> str:
    shape = case.graph.input_shape
    told = "unknown shape" if shape is None else f"the shape {tuple(shape)}"
    return f"{told} and dtype {case.graph.input_dtype}"


def _noise(case: Case) -> str:
    return "a predicted scale of the noise" if case.roles.scale is not None else "no predicted scale"


def ensemble_run(runs: Sequence[RunRecord]) -> RunRecord:
    """The record of an ensemble's run.

    Args:
        runs: What would be the record of each member alone, the first with the seed of the whole; one run is itself.
    """
    if len(runs) == 1:
        return runs[0]
    names = [item.name for item in fields(MemberRecord)]
    members = tuple(MemberRecord(**{name: getattr(run, name) for name in names}) for run in runs)
    thresholds = {run.threshold for run in runs}
    return replace(
        runs[0],
        case=ensemble_name([run.case for run in runs]),
        checkpoint_digest=text_digest(json.dumps([run.checkpoint_digest for run in runs])),
        plan="",
        threshold=runs[0].threshold if len(thresholds) == 1 else None,
        members=members,
        engine=common([run.engine for run in runs]),
        sampling=common([run.sampling for run in runs]),
        precision=common([run.precision for run in runs]),
        criterion=common([run.criterion for run in runs]),
    )


def member_layers(members: Sequence[Sequence[LayerRecord]]) -> list[LayerRecord]:
    """The layers of all members: their names begin with the member's number and a slash; those of one network do not.

    Args:
        members: The layers of each member.
    """
    if len(members) == 1:
        return list(members[0])
    return [
        replace(layer, name=f"{number}/{layer.name}", member=number)
        for number, layers in enumerate(members)
        for layer in layers
    ]
