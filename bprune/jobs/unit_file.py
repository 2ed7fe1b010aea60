"""The file of a unit: HDF5, whole or not there, and of one plan alone."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from bprune.arrays import AnyArray
from bprune.atomic import output_errors, whole_file
from bprune.case.task import Task
from bprune.engines.base import Draws
from bprune.errors import DamagedFileError, InputError
from bprune.inference.share import Done
from bprune.inference.statistics import ClassificationSummary, RegressionSummary
from bprune.jobs.plan import Plan, Unit
from bprune.results.checks import check_objects, check_readable, read_attribute, reading

__all__ = ["Finished", "read_unit", "write_unit"]

_SCHEMA = "bprune-unit 1"
_WHAT = "file of a task"


@dataclass(frozen=True, eq=False)
class Finished:
    """What a unit gave, and how long that took.

    Attributes:
        done: Draws and statistics.
        seconds: Seconds of drawing.
    """

    done: Done
    seconds: float


def write_unit(path: Path, plan: Plan, unit: Unit, finished: Finished) -> None:
    """Write what a unit gave; a file that is there is replaced, by the same.

    Raises:
        OutputError: If the file cannot be written.
    """
    arrays = _arrays(finished.done)
    texts = {
        "schema": _SCHEMA,
        "plan": plan.digest,
        "unit": plan.unit_name(unit),
        "size": json.dumps(dict(finished.done.size), sort_keys=True),
        "digest": _digest(arrays),
    }
    with (
        whole_file(path, overwrite=True) as temporary,
        output_errors(path),
        h5py.File(temporary, "w", libver=("v110", "v110"), track_order=True) as file,
    ):
        for name, values in arrays.items():
            file.create_dataset(name, data=values, chunks=True, fletcher32=True)
        for name, text in texts.items():
            file.attrs.create(name, text.encode(), dtype=h5py.string_dtype("utf-8", len(text.encode())))
        file.attrs["seconds"] = float(finished.seconds)


def read_unit(path: Path, plan: Plan, unit: Unit, task: Task) -> Finished:
    """Read what a unit gave.

    Raises:
        MissingFileError: If it is not there.
        InputError: If it is of another plan or unit.
        DamagedFileError: If it is damaged.
    """
    check_readable(path, _WHAT, "bprune run-task")
    with reading(path, _WHAT), h5py.File(path, "r") as file:
        if read_attribute(file, "schema", str) != _SCHEMA:
            raise InputError(f"{path} is not a {_WHAT} of this version")
        found = (read_attribute(file, "plan", str), read_attribute(file, "unit", str))
        if found != (plan.digest, plan.unit_name(unit)):
            raise InputError(f"{path} belongs to another plan, or to another part of it", hint="Remove it.")
        check_objects(file)
        arrays = {name: file[name][...] for name in file}
        if read_attribute(file, "digest", str) != _digest(arrays):
            raise DamagedFileError(f"{path} was altered: its digest differs")
        size = json.loads(read_attribute(file, "size", str))
        seconds = read_attribute(file, "seconds", float)
    return Finished(_done(arrays, size, task), seconds)


def _arrays(done: Done) -> dict[str, AnyArray]:
    arrays: dict[str, Any] = {}
    if done.draws is not None:
        arrays |= {"draws_values": done.draws.values, "draws_scale": done.draws.scale}
    if done.summary is not None:
        arrays |= {f"summary_{item.name}": getattr(done.summary, item.name) for item in fields(done.summary)}
    arrays["counts"] = done.counts
    return {name: np.asarray(values) for name, values in sorted(arrays.items()) if values is not None}


def _done(arrays: dict[str, AnyArray], size: dict[str, int], task: Task) -> Done:
    draws = summary = None
    if "draws_values" in arrays:
        draws = Draws(arrays["draws_values"], arrays.get("draws_scale"))
    columns: dict[str, Any] = {
        name.removeprefix("summary_"): values for name, values in arrays.items() if name.startswith("summary_")
    }
    if columns:
        summary = (RegressionSummary if task is Task.REGRESSION else ClassificationSummary)(**columns)
    return Done(draws, summary, arrays.get("counts"), size)


def _digest(arrays: dict[str, AnyArray]) -> str:
    digest = hashlib.sha256()
    for name, values in sorted(arrays.items()):
        digest.update(f"{name} {values.dtype.str} {values.shape}".encode())
        digest.update(np.ascontiguousarray(values).data)
    return digest.hexdigest()
