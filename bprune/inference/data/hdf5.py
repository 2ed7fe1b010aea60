"""HDF5 files: numeric datasets that lie in the file itself, read through hard links only."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import IO, Any, cast

import h5py
import numpy as np

from bprune.arrays import AnyArray
from bprune.errors import UnsupportedError
from bprune.inference.data.guard import check_claim, check_numeric, native, read_errors
from bprune.inference.data.keys import no_such_key

__all__ = ["KEYED", "NAME", "list_names", "matches", "read_array"]

NAME = "HDF5 file"
KEYED = True

_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_MOST_USER_BLOCK_BYTES = 2**20
_MOST_NAMES = 200
_MOST_DEPTH = 4  # hard links can form circles
_PLAIN_FILTERS = (h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32)


def matches(stream: IO[bytes]) -> bool:
    """Whether the stream, at its start, is of this format; a user block of 512 bytes or more may come first."""
    offset = 0
    while offset <= _MOST_USER_BLOCK_BYTES:
        stream.seek(offset)
        head = stream.read(len(_SIGNATURE))
        if head == _SIGNATURE:
            return True
        if len(head) < len(_SIGNATURE):
            return False
        offset = 2 * offset or 512
    return False


def list_names(path: Path) -> tuple[str, ...]:
    """The paths of the datasets, without the leading slash, those of the upper groups first.

    Soft and external links are listed but not followed, so that reading one gives an error that says what it is.

    Raises:
        DamagedFileError: If the file's structure cannot be read.
    """
    with read_errors(path, NAME), h5py.File(path, "r") as file:
        names: list[str] = []
        groups: list[tuple[str, Any]] = [("", file)]
        for _ in range(_MOST_DEPTH):
            below: list[tuple[str, Any]] = []
            for prefix, group in groups:
                for name in group:
                    if len(names) + len(below) >= _MOST_NAMES:
                        break
                    hard = isinstance(group.get(name, getlink=True), h5py.HardLink)
                    kind = group.get(name, getclass=True) if hard else h5py.Dataset
                    if kind is h5py.Group:
                        below.append((f"{prefix}{name}/", group[name]))
                    elif kind is h5py.Dataset:
                        names.append(prefix + name)
            groups = below
        return tuple(names)


def read_array(path: Path, name: str, *, limit_bytes: int) -> AnyArray:
    """Read one dataset after checking where it lies, its filters and the size that it claims.

    Args:
        path: The file.
        name: Path of the dataset, for example "test/x".
        limit_bytes: Largest array to read.

    Returns:
        The array, in this machine's byte order.

    Raises:
        DamagedFileError: If the dataset cannot be read or claims more than is stored.
        UnsupportedError: If it is not plain numbers inside this file.
        InputError: If there is no such dataset, or it is above the limit.
    """
    where = f"{path}[{name!r}]"
    with read_errors(path, NAME), h5py.File(path, "r") as file:
        dataset = _look_up(file, name, path)
        _check_place(dataset, where)
        check_numeric(dataset.dtype, where)
        if 0 in dataset.shape:
            return np.empty(dataset.shape, dataset.dtype.newbyteorder("="))
        _check_size(dataset, path, limit_bytes, where)
        return native(np.asarray(cast(AnyArray, dataset[()])))


def _look_up(file: Any, name: str, path: Path) -> Any:
    """Walk down the groups; every step has to be a hard link."""
    found = file
    for part in (part for part in name.split("/") if part not in ("", ".")):
        if not isinstance(found, h5py.Group) or part not in found:
            raise no_such_key(str(path), name, list_names(path))
        link = found.get(part, getlink=True)
        if not isinstance(link, h5py.HardLink):
            raise UnsupportedError(
                f"{path}[{name!r}]: {part!r} is a {type(link).__name__}, which may lead to another file; refused",
                hint="Copy the values into the file itself.",
            )
        found = found[part]
    if not isinstance(found, h5py.Dataset):
        raise no_such_key(str(path), name, list_names(path))
    return found


def _check_place(dataset: Any, where: str) -> None:
    """Values lie in this file, and only filters that ship with HDF5 are needed to read them."""
    reason = None
    filters = dataset.id.get_create_plist()
    codes = [filters.get_filter(index)[0] for index in range(filters.get_nfilters())]
    if dataset.external is not None:
        reason = "keeps its values in other files"
    elif dataset.is_virtual:
        reason = "is a virtual dataset, put together from other files"
    elif dataset.shape is None:
        reason = "has no values"
    elif foreign := [code for code in codes if code not in _PLAIN_FILTERS]:
        reason = f"needs the HDF5 filter {foreign[0]}; allowed are gzip, shuffle and fletcher32"
    elif codes.count(h5py.h5z.FILTER_DEFLATE) > 1:
        reason = "is compressed more than once"
    if reason:
        raise UnsupportedError(
            f"{where} {reason}", hint="Write it with create_dataset(name, data=values, compression='gzip')."
        )


def _check_size(dataset: Any, path: Path, limit_bytes: int, where: str) -> None:
    item_bytes = dataset.dtype.itemsize
    values_bytes = math.prod(dataset.shape) * item_bytes
    chunk_bytes = math.prod(dataset.chunks or ()) * item_bytes
    check_claim(
        max(values_bytes, chunk_bytes),  # one chunk is unpacked as a whole, even if the dataset is smaller
        min(dataset.id.get_storage_size(), os.path.getsize(path)),
        deflated=dataset.compression == "gzip",
        limit_bytes=limit_bytes,
        where=where,
    )
