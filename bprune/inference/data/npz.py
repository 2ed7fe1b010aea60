"""`.npz` files: a zip archive of `.npy` members."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path
from typing import IO

import numpy as np

from bprune.arrays import AnyArray
from bprune.errors import DamagedFileError, UnsupportedError
from bprune.inference.data import npy
from bprune.inference.data.guard import check_claim, native, read_errors
from bprune.inference.data.keys import no_such_key

__all__ = ["KEYED", "NAME", "list_names", "matches", "read_array"]

NAME = "NPZ archive"
KEYED = True

_SUFFIX = ".npy"


def matches(stream: IO[bytes]) -> bool:
    """Whether the stream, at its start, is of this format."""
    return stream.read(4) in (b"PK\x03\x04", b"PK\x05\x06")


def list_names(path: Path) -> tuple[str, ...]:
    """The names of the arrays, without the suffix of their members.

    Raises:
        DamagedFileError: If the archive's directory cannot be read, or has a name twice.
    """
    with read_errors(path, NAME), zipfile.ZipFile(path) as archive:
        names = archive.namelist()
    if len(set(names)) != len(names):
        raise DamagedFileError(f"{path} is damaged: it has two members of the same name")
    return tuple(name[: -len(_SUFFIX)] for name in names if name.endswith(_SUFFIX))


def read_array(path: Path, name: str, *, limit_bytes: int) -> AnyArray:
    """Read one array after checking the sizes that archive and header claim; the zip checksum is compared.

    Args:
        path: The file.
        name: One of `list_names`.
        limit_bytes: Largest array to read.

    Returns:
        The array, in this machine's byte order.

    Raises:
        DamagedFileError: If the member is truncated, altered or claims more than it can hold.
        UnsupportedError: If its compression or dtype is not one that NumPy's savez writes for numbers.
        InputError: If there is no such array, or it is above the limit.
    """
    where = f"{path}[{name!r}]"
    names = list_names(path)
    if name not in names:
        raise no_such_key(str(path), name, names)
    with read_errors(path, NAME), zipfile.ZipFile(path) as archive:
        member = archive.getinfo(name + _SUFFIX)
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise UnsupportedError(
                f"{where} is compressed with zip method {member.compress_type}; allowed are stored and deflated",
                hint="Write the file with np.savez or np.savez_compressed.",
            )
        check_claim(
            member.file_size,
            min(member.compress_size, os.path.getsize(path)),
            deflated=member.compress_type == zipfile.ZIP_DEFLATED,
            limit_bytes=limit_bytes,
            where=where,
        )
        with archive.open(member) as stream:
            header = npy.read_header(stream, where)
            if stream.tell() + header.size_bytes != member.file_size:
                raise DamagedFileError(
                    f"{where} is damaged: its header claims {header.size_bytes} bytes of values in a member of "
                    f"{member.file_size}"
                )
        with archive.open(member) as stream:
            array = np.lib.format.read_array(stream, allow_pickle=False)
            stream.read(1)  # at the member's end zipfile compares the checksum
        return native(array)
