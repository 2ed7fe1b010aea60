"""The file of a sweep: HDF5 that xarray and netCDF4 open, as a results file is.

Groups: `points` (sparsity, threshold, counts, time; `[point]`, and the sparsity of every layer, `[point, layer]`),
`metrics` and `differences` (value, data_stderr, mc_stderr; `[point, metric]`). Root attributes say how the points were
measured. `xarray.open_datatree(file)["metrics/value"].sel(metric="accuracy")` is a curve.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from bprune.arrays import AnyArray
from bprune.atomic import whole_file
from bprune.errors import DamagedFileError, InputError, UnsupportedError
from bprune.judgement.sweep import Sweep, SweepPoint
from bprune.metrics.estimate import Estimate
from bprune.results.checks import check_objects, check_readable, read_attribute, reading
from bprune.results.hdf5 import HDF5Output
from bprune.results.layout import Variable
from bprune.results.schema import CONVENTIONS, LIBRARY

__all__ = ["SWEEP_SCHEMA_VERSION", "read_sweep", "write_sweep"]

SWEEP_SCHEMA_VERSION = 1

_KIND = "sweep"
_WHAT = "sweep file"
_POINT = ("point",)
_POINTS = {
    "sparsity": Variable(_POINT, "f8", "fraction of the prunable weights that are pruned"),
    "threshold": Variable(_POINT, "f8", "smallest score that is kept"),
    "nonzeros": Variable(_POINT, "i8", "number of weights kept"),
    "weights": Variable(_POINT, "i8", "number of prunable weights"),
    "multiply_adds": Variable(_POINT, "i8", "multiply-adds per example and draw after compaction; -1 where not known"),
    "draw_us": Variable(_POINT, "f8", "time per example and draw, median of warm repetitions", "us"),
    "layer_sparsity": Variable(("point", "layer"), "f8", "fraction of the layer's weights that are pruned"),
}
_ESTIMATE = {
    "value": Variable(("point", "metric"), "f8", "value"),
    "data_stderr": Variable(("point", "metric"), "f8", "standard error from the finite number of examples"),
    "mc_stderr": Variable(("point", "metric"), "f8", "standard error from the finite number of draws"),
}
_TEXTS = (
    "case",
    "criterion",
    "unit",
    "scope",
    "engine",
    "task",
    "sampling",
    "precision",
    "checkpoint_digest",
    "data_digest",
    "options",
    "search",
    "command",
    "created_at",
    "library_version",
)
_NUMBERS = ("mc_iters", "seed", "examples")


def write_sweep(sweep: Sweep, path: Path | str, *, overwrite: bool = False) -> None:
    """Write a sweep; the file appears whole or not at all.

    Args:
        sweep: The sweep.
        path: The file to write; its folder must exist.
        overwrite: Whether an existing file is replaced.

    Raises:
        OutputError: If the file exists and may not be replaced, or cannot be written.
    """
    path = Path(path)
    coordinates: dict[str, AnyArray] = {
        "point": np.arange(len(sweep.points)),
        "layer": np.array(sweep.layers, dtype=object),
        "metric": np.array(sweep.metric_names, dtype=object),
    }
    with whole_file(path, overwrite=overwrite) as temporary, contextlib.ExitStack() as stack:
        output = HDF5Output(temporary, path)
        stack.callback(output.abandon)
        output.create_group("points", _POINTS, coordinates)
        for name in _POINTS:
            output.write("points", name, _column(sweep, name))
        for group in ("metrics", "differences"):
            output.create_group(group, _ESTIMATE, coordinates)
            for name in _ESTIMATE:
                output.write(group, name, _estimates(sweep, group, name))
        output.set_attributes(_attributes(sweep))
        output.close()


def _column(sweep: Sweep, name: str) -> AnyArray:
    if name == "layer_sparsity":
        return np.array([[point.layer_sparsity[layer] for layer in sweep.layers] for point in sweep.points])
    return np.array([getattr(point, name) for point in sweep.points])


def _estimates(sweep: Sweep, group: str, name: str) -> AnyArray:
    rows = [[getattr(getattr(point, group)[metric], name) for metric in sweep.metric_names] for point in sweep.points]
    return np.array(rows, np.float64).reshape(len(sweep.points), len(sweep.metric_names))


def _attributes(sweep: Sweep) -> dict[str, Any]:
    attributes: dict[str, Any] = {
        "Conventions": CONVENTIONS,
        "title": f"BPrune: sweep of {sweep.case}",
        "history": f"{sweep.created_at} {sweep.command}",
        "source": f"{LIBRARY} {sweep.library_version}",
        "inference_library": LIBRARY,
        "kind": _KIND,
        "schema_version": SWEEP_SCHEMA_VERSION,
        "finished": int(sweep.finished),
        "notes": json.dumps(sweep.notes),
        "layers": json.dumps(sweep.layers),
        "metrics": json.dumps(sweep.metric_names),
    }
    return attributes | {name: getattr(sweep, name) for name in (*_TEXTS, *_NUMBERS)}


def read_sweep(path: Path | str) -> Sweep:
    """Read a sweep, after checking that the file is one.

    Args:
        path: The file that `bprune sweep` wrote.

    Raises:
        MissingFileError: If there is no such file.
        InputError: If it is a file of another kind.
        UnsupportedError: If it is of a newer schema version.
        DamagedFileError: If it is damaged, or reaches into other files.
    """
    path = Path(path)
    check_readable(path, _WHAT, "bprune sweep")
    with reading(path, _WHAT), h5py.File(path, "r") as file:
        _check_kind(file, path)
        check_objects(file)
        return _read(file)


def _check_kind(file: h5py.File, path: Path) -> None:
    if "kind" not in file.attrs or read_attribute(file, "kind", str) != _KIND:
        raise InputError(f"{path} is not the file of a sweep", hint="Give the file that bprune sweep wrote.")
    version = read_attribute(file, "schema_version", int)
    if version > SWEEP_SCHEMA_VERSION:
        raise UnsupportedError(
            f"{path} has schema version {version}; this BPrune reads sweeps up to {SWEEP_SCHEMA_VERSION}",
            hint="Read it with a newer BPrune.",
        )


def _read(file: h5py.File) -> Sweep:
    known: dict[str, Any] = {name: read_attribute(file, name, str) for name in _TEXTS}
    known |= {name: read_attribute(file, name, int) for name in _NUMBERS}
    layers, metrics, notes = (_names(file, name) for name in ("layers", "metrics", "notes"))
    sizes = {"point": len(file["points/sparsity"]), "layer": len(layers), "metric": len(metrics)}
    columns = {name: _values(file, "points", name, _POINTS[name], sizes) for name in _POINTS}
    estimates = {
        group: {name: _values(file, group, name, _ESTIMATE[name], sizes) for name in _ESTIMATE}
        for group in ("metrics", "differences")
    }
    points = [_point(index, columns, estimates, layers, metrics) for index in range(sizes["point"])]
    finished = bool(read_attribute(file, "finished", int))
    return Sweep(points=tuple(points), notes=tuple(notes), finished=finished, **known)


def _names(file: h5py.File, name: str) -> list[str]:
    names = json.loads(read_attribute(file, name, str))
    if not isinstance(names, list) or not all(isinstance(item, str) for item in names):
        raise DamagedFileError(f"the attribute {name} is not a JSON list of strings")
    return names


def _values(file: h5py.File, group: str, name: str, variable: Variable, sizes: Mapping[str, int]) -> list[Any]:
    dataset = file[group][name]
    shape = tuple(sizes[dim] for dim in variable.dims)
    if dataset.shape != shape or dataset.dtype.str[1:] != variable.dtype:
        raise DamagedFileError(
            f"{dataset.name} is {dataset.dtype} of the shape {dataset.shape}; {variable.dtype} of {shape} is needed"
        )
    values: list[Any] = dataset[...].tolist()
    return values


def _point(
    index: int,
    columns: Mapping[str, list[Any]],
    estimates: Mapping[str, Mapping[str, list[Any]]],
    layers: list[str],
    metrics: list[str],
) -> SweepPoint:
    values: dict[str, Any] = {name: column[index] for name, column in columns.items()}
    values["layer_sparsity"] = dict(zip(layers, values["layer_sparsity"], strict=True))
    parts = [item.name for item in dataclasses.fields(Estimate) if item.name in _ESTIMATE]
    for group, arrays in estimates.items():
        values[group] = {
            metric: Estimate(**{part: arrays[part][index][number] for part in parts})
            for number, metric in enumerate(metrics)
        }
    return SweepPoint(**values)
