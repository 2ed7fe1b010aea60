"""IDX files, the format of MNIST, plain or gzipped: one array of big-endian numbers."""

from __future__ import annotations

import gzip
import math
import os
import struct
import zlib
from pathlib import Path
from typing import IO, Any

import numpy as np

from bprune.arrays import AnyArray
from bprune.errors import DamagedFileError
from bprune.inference.data.guard import check_claim, native, read_errors

__all__ = ["KEYED", "NAME", "list_names", "matches", "read_array"]

NAME = "IDX file"
KEYED = False

_GZIP = b"\x1f\x8b"
_DTYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_MOST_AXES = 8


def matches(stream: IO[bytes]) -> bool:
    """Whether the stream, at its start, is of this format, be it inside gzip."""
    head = stream.read(4)
    if head[:2] == _GZIP:
        stream.seek(0)
        try:
            with gzip.GzipFile(fileobj=stream) as plain:
                head = plain.read(4)
        except (OSError, EOFError, zlib.error):
            return False
    return len(head) == 4 and head[:2] == b"\0\0" and head[2] in _DTYPES and 1 <= head[3] <= _MOST_AXES


def list_names(path: Path) -> tuple[str, ...]:
    """The format has one array, without a name."""
    return ()


def read_array(path: Path, name: str, *, limit_bytes: int) -> AnyArray:
    """Read the array; bytes in a plain file are mapped, all else is copied.

    Args:
        path: The file.
        name: Not used: the format has one array.
        limit_bytes: Largest array to copy.

    Returns:
        The array, in this machine's byte order.

    Raises:
        DamagedFileError: If the file is not exactly as long as its head claims, or gzip's checksum differs.
        InputError: If it would be copied and is above the limit.
    """
    with read_errors(path, NAME), open(path, "rb") as raw:
        gzipped = raw.read(2) == _GZIP
        raw.seek(0)
        stream: Any = gzip.GzipFile(fileobj=raw) if gzipped else raw
        dtype, shape = _read_head(stream, path)
        values_bytes = math.prod(shape) * dtype.itemsize
        if not values_bytes:
            return np.empty(shape, dtype.newbyteorder("="))
        stored_bytes = os.fstat(raw.fileno()).st_size
        if not gzipped:
            offset = stream.tell()
            if stored_bytes - offset != values_bytes:
                raise _wrong_length(path, values_bytes, stored_bytes - offset)
            if dtype.itemsize == 1:
                return np.asarray(np.memmap(path, dtype, mode="r", offset=offset, shape=shape))
        check_claim(values_bytes, stored_bytes, deflated=gzipped, limit_bytes=limit_bytes, where=str(path))
        content = stream.read(values_bytes)
        if len(content) != values_bytes or stream.read(1):  # at the end gzip compares the checksum
            raise _wrong_length(path, values_bytes, len(content))
        return native(np.frombuffer(content, dtype).reshape(shape))


def _read_head(stream: IO[bytes], path: Path) -> tuple[np.dtype[Any], tuple[int, ...]]:
    _, code, axes = struct.unpack(">HBB", stream.read(4))
    if code not in _DTYPES or not 1 <= axes <= _MOST_AXES:
        raise DamagedFileError(f"{path} is damaged: type {code:#x} and {axes} axes are not those of an IDX file")
    return np.dtype(_DTYPES[code]), struct.unpack(f">{axes}I", stream.read(4 * axes))


def _wrong_length(path: Path, claimed_bytes: int, found_bytes: int) -> DamagedFileError:
    found = f"it holds {found_bytes}" if found_bytes != claimed_bytes else "it holds more"
    return DamagedFileError(f"{path} is damaged: its head claims {claimed_bytes} bytes of values, {found}")
