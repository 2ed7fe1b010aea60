"""An HDF5 file being written the netCDF-4 way: every axis of every variable has a dimension scale with values."""

from __future__ import annotations

import contextlib
import errno
import math
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from bprune.arrays import AnyArray
from bprune.atomic import output_errors
from bprune.results.layout import Variable, coordinate

__all__ = ["HDF5Output", "chunk_shape"]

_CHUNK_BYTES = 2**20
_CACHE_BYTES, _DRAWS_CACHE_BYTES = 4 * 2**20, 128 * 2**20
"""What each variable keeps in memory until a chunk is complete: draws come in blocks, all else at once."""
_CACHE_SLOTS = 9973
_FORMAT = ("v110", "v110")
"""Format 1.10 has a checksum on every piece of metadata; h5py's default format has none."""


class HDF5Output:
    """Groups, variables and attributes of a file that does not exist yet.

    Args:
        path: Where to create the file.
        target: The file's name in error messages.
        draws_at_once: Draws that a chunk holds at most; None for all draws of an example.

    Raises:
        OutputError: Here and in every method but `abandon`: if the file cannot be written. What remains then is to
            call `abandon` and to delete the file.
    """

    def __init__(self, path: Path, target: Path, draws_at_once: int | None = None) -> None:
        self._target, self._draws_at_once = target, draws_at_once
        # Every dataset stays open until the file is flushed: closing one empties its cache, so that half-filled chunks
        # are written again and again, and HDF5 crashes when the disk is full at that moment.
        self._datasets: dict[tuple[str, str], h5py.Dataset] = {}
        self._file: Any = None
        with self._writing():
            self._file = h5py.File(
                path, "w", libver=_FORMAT, track_order=True, rdcc_nbytes=_CACHE_BYTES, rdcc_nslots=_CACHE_SLOTS
            )

    def create_group(self, name: str, variables: Mapping[str, Variable], coordinates: Mapping[str, AnyArray]) -> None:
        """Create a group with its variables, still without values, and their dimension scales, with values.

        Args:
            name: The group's name.
            variables: What the group holds.
            coordinates: The coordinate values of every dimension that the variables name.
        """
        with self._writing():
            group = self._file.create_group(name, track_order=True)
            scales: dict[str, h5py.Dataset] = {}
            for dim in dict.fromkeys(dim for variable in variables.values() for dim in variable.dims):
                scales[dim] = self._create(group, dim, coordinate(dim), coordinates[dim].shape)
                scales[dim][...] = coordinates[dim]
                scales[dim].make_scale(dim)
            for key, variable in variables.items():
                shape = tuple(len(coordinates[dim]) for dim in variable.dims)
                dataset = self._create(group, key, variable, shape)
                for axis, dim in enumerate(variable.dims):
                    dataset.dims[axis].attach_scale(scales[dim])

    def _create(self, group: h5py.Group, name: str, variable: Variable, shape: tuple[int, ...]) -> h5py.Dataset:
        options: dict[str, Any] = {"dtype": h5py.string_dtype()}  # filters would see references, not the strings
        if variable.dtype != "str":
            dtype = np.dtype(variable.dtype)
            has_draws = "draw" in variable.dims and dtype.kind == "f"
            chunks = chunk_shape(variable.dims, shape, dtype.itemsize, self._draws_at_once if has_draws else None)
            options = {"dtype": dtype, "chunks": chunks, "fletcher32": True}
            options["rdcc_nbytes"] = _DRAWS_CACHE_BYTES if has_draws else _CACHE_BYTES
            if not has_draws:
                options |= {"compression": "gzip", "compression_opts": 1, "shuffle": True}
            else:  # random digits: compression would take longer than drawing them, and save 8 %
                options["fillvalue"] = np.nan  # a draw that was not made
        dataset = self._datasets[group.name.strip("/"), name] = group.create_dataset(name, shape, **options)
        _set_attributes(dataset, {"long_name": variable.long_name, "units": variable.units})
        return dataset

    def shape(self, group: str, name: str) -> tuple[int, ...]:
        """The shape of a variable."""
        shape: tuple[int, ...] = self._datasets[group, name].shape
        return shape

    def write(self, group: str, name: str, values: AnyArray, starts: Sequence[int] = ()) -> None:
        """Write a block of a variable that begins at `starts` on the leading axes, and spans the others."""
        region = tuple(slice(start, start + size) for start, size in zip(starts, values.shape, strict=False))
        with self._writing():
            self._datasets[group, name][region or ...] = values

    def read(self, group: str, name: str) -> AnyArray:
        """The values of a variable that was written."""
        with self._writing():
            values: AnyArray = self._datasets[group, name][...]
        return values

    def set_attributes(self, attributes: Mapping[str, Any], group: str = "/", name: str | None = None) -> None:
        """Set attributes of the file, of a group, or of a variable."""
        with self._writing():
            _set_attributes(self._file[group] if name is None else self._datasets[group, name], attributes)

    def close(self) -> None:
        """Write everything to the file and close it."""
        with self._writing():
            self._file.flush()
            self._file.close()

    def abandon(self) -> None:
        """Close a file that will be deleted; what goes wrong meanwhile is of no interest."""
        with contextlib.suppress(OSError, RuntimeError, ValueError):
            self._file.close()
        self._datasets.clear()

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        """Translate h5py's errors, once: a failed write raises one of three, depending on where it failed."""
        with output_errors(self._target):
            try:
                yield
            except (OSError, RuntimeError, ValueError) as error:
                number = re.search(r"errno = (\d+)", str(error))
                code = int(number[1]) if number else None
                self._divert(code)
                raise (OSError(code, os.strerror(code)) if code else OSError(str(error))) from error

    def _divert(self, code: int | None) -> None:
        """Let HDF5 close a file that cannot be written: it would crash if its last writes failed as well.

        The descriptor is pointed at memory, which takes what is still in HDF5's caches; or at nothing where a limit
        on the size of files holds for memory too.
        """
        if not self._file:
            return
        in_memory = hasattr(os, "memfd_create") and code != errno.EFBIG
        sink = os.memfd_create("bprune-unwritten") if in_memory else os.open(os.devnull, os.O_RDWR)
        os.dup2(sink, self._file.id.get_vfd_handle())
        os.close(sink)


def _set_attributes(item: h5py.HLObject, attributes: Mapping[str, Any]) -> None:
    """Set attributes, strings with a fixed length.

    HDF5 keeps strings of variable length in a heap without checksums, and can loop for ever when one byte of it is
    wrong; nothing that BPrune reads lies there.
    """
    for name, value in attributes.items():
        if isinstance(value, str):
            encoded = value.encode("utf-8")
            item.attrs.create(name, encoded, dtype=h5py.string_dtype("utf-8", max(1, len(encoded))))
        else:
            item.attrs[name] = value


def chunk_shape(
    dims: Sequence[str], shape: Sequence[int], itemsize: int, draws_at_once: int | None = None
) -> tuple[int, ...]:
    """Chunks of about 1 MiB that hold all draws of a block of examples where that is possible.

    Args:
        dims: The names of the axes.
        shape: Their sizes, none 0.
        itemsize: Bytes of one value.
        draws_at_once: The most draws of a chunk; None for all.

    Returns:
        The chunk's size along each axis: the example axis is cut first, then the draws, then the others. Members of an
        ensemble, the axis chain, are written one after the other and share none.
    """
    chunk = [1 if dim == "chain" else size for dim, size in zip(dims, shape, strict=True)]
    if "draw" in dims and draws_at_once is not None:
        chunk[dims.index("draw")] = min(chunk[dims.index("draw")], draws_at_once)
    first = [axis for name in ("example", "draw") for axis, dim in enumerate(dims) if dim == name]
    for axis in (*first, *(axis for axis in range(len(dims)) if axis not in first)):
        others = math.prod(chunk) // chunk[axis]
        chunk[axis] = min(chunk[axis], max(1, _CHUNK_BYTES // (itemsize * others)))
    return tuple(chunk)
