"""What an HDF5 file must be before its values are read: a results file, and nothing that reaches out of itself.

A results file may come from a stranger. HDF5 lets a file follow links into other files, take its content from them,
or claim terabytes in a kilobyte; each of these is refused here, before anything is read or allocated.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from bprune.case.task import Task
from bprune.errors import BPruneError, DamagedFileError, InputError, MissingFileError, UnsupportedError
from bprune.metrics.blocks import BLOCKS
from bprune.results.layout import Variable, layout
from bprune.results.schema import ADDED, ATTRIBUTES, BLOCKS_ADDED, LATEST_VERSION, LIBRARY, SNR_QUANTILES

__all__ = ["check_objects", "check_readable", "check_variables", "read_attribute", "read_attributes", "reading"]

_MAX_OBJECTS = 256
_ANY_SIZE_BYTES = 64 * 2**20
_MAX_ATTRIBUTE_BYTES = 16 * 2**20
_MAX_EXPANSION = 1100
"""Deflate expands by 1032 at most."""

_FILTERS = {h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32}
_OPTIONAL_GROUPS = {"posterior_predictive", "observed_data"}
_OPTIONAL_VARIABLES = {"scale", "log_likelihood"}
_DAMAGE = (OSError, LookupError, ValueError, TypeError, RuntimeError, AttributeError, OverflowError, MemoryError)
_MAGIC = {
    b"PK\x03\x04": "a zip archive (.npz, .keras)",
    b"\x93NUMPY": "a NumPy array (.npy)",
    b"CDF": "a netCDF-3 file",
    b"\x80": "a Python pickle",
}


@contextlib.contextmanager
def reading(path: Path, what: str = "results file") -> Iterator[None]:
    """Translate what h5py raises on a damaged file.

    Args:
        path: The file.
        what: What it should be, for messages.

    Raises:
        DamagedFileError: If the body raises an error that is not of BPrune.
    """
    try:
        yield
    except BPruneError:
        raise
    except _DAMAGE as error:
        raise DamagedFileError(
            f"{path} cannot be read as a {what}: {error}",
            hint="The file is damaged or was altered: copy it again, or repeat the run.",
        ) from error


def check_readable(path: Path, what: str = "results file", command: str = "bprune infer") -> None:
    """Refuse what is not an HDF5 file.

    Args:
        path: The file.
        what: What it should be, for messages.
        command: What writes such files.

    Raises:
        MissingFileError: If there is no such file.
        InputError: If the path is not a file, may not be read, or is of another known format.
        DamagedFileError: If it is of no known format.
    """
    if not path.exists():
        raise MissingFileError(f"there is no {what} {path}")
    if not path.is_file():
        raise InputError(f"{path} is not a file", hint=f"Give the {what} that {command} wrote.")
    try:
        with path.open("rb") as stream:
            start = stream.read(16)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    if h5py.is_hdf5(path):
        return
    for magic, meaning in _MAGIC.items():
        if start.startswith(magic):
            raise InputError(f"{path} is not a {what}: it looks like {meaning}")
    raise DamagedFileError(f"{path} is not a {what}: it {'is not HDF5' if start else 'is empty'}")


def read_attribute(item: h5py.HLObject, name: str, kind: type) -> Any:
    """One attribute that holds one string, integer or floating-point number.

    Raises:
        DamagedFileError: If it holds anything else.
        KeyError: If there is none of this name.
    """
    attribute = item.attrs.get_id(name)
    text = h5py.check_string_dtype(attribute.dtype)
    found = {"i": int, "u": int, "f": float}.get(attribute.dtype.kind) if text is None else str
    one = attribute.shape in ((), (1,))  # netCDF programs write one number as an array of one
    if found is not kind or not one or attribute.dtype.itemsize > _MAX_ATTRIBUTE_BYTES:
        raise DamagedFileError(f"the attribute {name} is not one {kind.__name__}, as it is in every results file")
    if text is not None and text.length is None:  # reading it could take for ever, see hdf5.py
        raise DamagedFileError(f"the attribute {name} has a variable length, as BPrune writes none")
    value = np.asarray(item.attrs[name]).reshape(()).item()
    return value.decode("utf-8") if isinstance(value, bytes) else value


def read_attributes(file: h5py.File, path: Path) -> dict[str, Any]:
    """The root attributes that make an HDF5 file a results file.

    Raises:
        InputError: If the file is of another program.
        UnsupportedError: If it is of a newer schema version.
        DamagedFileError: If an attribute is missing or not of its type.
    """
    if "schema_version" not in file.attrs or "inference_library" not in file.attrs:
        raise InputError(
            f"{path} is not a results file of BPrune: it looks like {_looks_like(file)}",
            hint="Give the file that bprune infer wrote.",
        )
    library = read_attribute(file, "inference_library", str)
    if library != LIBRARY:
        raise InputError(f"{path} is not a results file of BPrune: it was written by {library}")
    if "kind" in file.attrs:
        raise InputError(
            f"{path} is not a results file: it holds a {read_attribute(file, 'kind', str)[:40]}",
            hint="Give the file that bprune infer wrote; bprune plot sweep draws sweeps.",
        )
    version = read_attribute(file, "schema_version", int)
    if version > LATEST_VERSION:
        raise UnsupportedError(
            f"{path} has schema version {version}; this BPrune reads versions up to {LATEST_VERSION}",
            hint="Read it with a newer BPrune.",
        )
    if version < 1:
        raise DamagedFileError(f"{path} has schema version {version}; the first version is 1")
    known = {name: kind for name, kind in ATTRIBUTES.items() if version >= ADDED.get(name, 1)}
    return {name: read_attribute(file, name, kind) for name, kind in known.items()}


def _looks_like(file: h5py.File) -> str:
    names = set(file)
    keras_attributes = {"keras_version", "layer_names", "model_config"}
    if keras_attributes & set(file.attrs) or "model_weights" in names or {"layers", "vars"} <= names:
        return "Keras weights"
    if "_layer_checkpoint_dependencies" in names:
        return "Keras weights"
    return f"an HDF5 file of another program (it holds: {', '.join(sorted(names)[:8]) or 'nothing'})"


def check_objects(file: h5py.File) -> None:
    """Check every object of the file before its content is touched.

    Raises:
        DamagedFileError: If an object is a link, lies in another file, is nested too deeply, is of an unknown kind,
            or is too large for the file.
    """
    for name, item in _hard_linked(file):
        if isinstance(item, h5py.Group):
            for key, child in _hard_linked(item):
                _check_dataset(f"{name}/{key}", child)
        else:
            _check_dataset(name, item)


def _hard_linked(group: h5py.Group) -> Iterator[tuple[str, Any]]:
    if len(group) > _MAX_OBJECTS:
        raise DamagedFileError(f"{group.name} holds {len(group)} objects; a results file holds no group of that size")
    for name in group:
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            raise DamagedFileError(f"{group.name} holds a link, {name}; results files hold none")
        yield name, group[name]


def _check_dataset(name: str, item: Any) -> None:
    if not isinstance(item, h5py.Dataset):
        raise DamagedFileError(f"{name} is not a dataset; results files hold one level of groups, and datasets in them")
    if item.external is not None or item.is_virtual:
        raise DamagedFileError(f"{name} takes its content from other files; results files do not")
    properties = item.id.get_create_plist()
    filters = {properties.get_filter(index)[0] for index in range(properties.get_nfilters())}
    if not filters <= _FILTERS:
        raise DamagedFileError(f"{name} has the filters {sorted(filters)}; only gzip, shuffle and fletcher32 are used")
    is_text = h5py.check_string_dtype(item.dtype) is not None
    if not is_text and (item.dtype.kind not in "iuf" or item.dtype.itemsize > 8):
        raise DamagedFileError(f"{name} is of the dtype {item.dtype}; results files hold numbers and strings")
    largest = max(_ANY_SIZE_BYTES, _MAX_EXPANSION * item.id.get_storage_size())
    if item.size is None or item.size * item.dtype.itemsize > largest:
        raise DamagedFileError(f"{name} claims the shape {item.shape}, more than its part of the file can hold")


def check_variables(file: h5py.File, task: Task, mc_iters: int, version: int, members: int = 0) -> None:
    """Check that the variables of a schema version are there, with their dtypes and with shapes that agree.

    Args:
        file: The file.
        task: What its network predicts.
        mc_iters: The length of the axis of draws.
        version: The schema version.
        members: The number of members of an ensemble; 0 for one network.

    Raises:
        DamagedFileError: If one is missing or different.
        KeyError: If a group is missing.
    """
    inputs = file["constant_data/x"]
    classes = file["summary/mean"].shape[-1]
    sizes = {"chain": max(members, 1), "draw": mc_iters, "example": len(inputs), "class": classes, "output": classes}
    sizes["block"] = BLOCKS
    sizes |= {"layer": len(file["layers/layer"]), "quantile": len(SNR_QUANTILES)}
    sizes |= {f"input_dim_{axis}": size for axis, size in enumerate(inputs.shape[1:])}
    for group, variables in layout(task, inputs.ndim, inputs.dtype.str[1:], is_ensemble=members > 0).items():
        if group not in file and (group in _OPTIONAL_GROUPS or (group == "blocks" and version < BLOCKS_ADDED)):
            continue
        for name, variable in variables.items():
            if name in file[group] or name not in _OPTIONAL_VARIABLES:
                _check_variable(file[group][name], variable, tuple(sizes[dim] for dim in variable.dims))


def _check_variable(dataset: h5py.Dataset, variable: Variable, shape: tuple[int, ...]) -> None:
    if dataset.shape != shape or dataset.dtype.str[1:] != variable.dtype:
        raise DamagedFileError(
            f"{dataset.name} is {dataset.dtype} of the shape {dataset.shape}; {variable.dtype} of the shape {shape} "
            "fits the rest of the file"
        )
