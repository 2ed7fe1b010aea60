"""`.npy` files: one array, read in place."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from bprune.arrays import AnyArray
from bprune.errors import DamagedFileError
from bprune.inference.data.guard import check_claim, check_numeric, native, read_errors

__all__ = ["KEYED", "NAME", "Header", "list_names", "matches", "read_array", "read_header"]

NAME = "NPY file"
KEYED = False


@dataclass(frozen=True)
class Header:
    """What the head of a `.npy` file claims.

    Args:
        shape: Lengths of the axes, none negative.
        dtype: A numeric dtype.
        order: "F" if the first axis varies fastest, else "C".
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    order: str

    @property
    def size_bytes(self) -> int:
        """Size of the values, without the header."""
        return math.prod(self.shape) * self.dtype.itemsize


def matches(stream: IO[bytes]) -> bool:
    """Whether the stream, at its start, is of this format."""
    return stream.read(6) == b"\x93NUMPY"


def list_names(path: Path) -> tuple[str, ...]:
    """The format has one array, without a name."""
    return ()


def read_array(path: Path, name: str, *, limit_bytes: int) -> AnyArray:
    """Map the array into memory, read-only; other byte orders than the machine's are copied.

    Args:
        path: The file.
        name: Not used: the format has one array.
        limit_bytes: Largest array to copy; a mapped one may be larger.

    Returns:
        The array of the file.

    Raises:
        DamagedFileError: If the header is wrong or the file is not exactly as long as it claims.
        UnsupportedError: If the dtype is not numeric.
        InputError: If it would be copied and is above the limit.
    """
    with read_errors(path, NAME):
        with open(path, "rb") as stream:
            header = read_header(stream, str(path))
            offset = stream.tell()
            stored_bytes = os.fstat(stream.fileno()).st_size - offset
        if stored_bytes != header.size_bytes:
            raise DamagedFileError(
                f"{path} is damaged: its header claims {header.size_bytes} bytes of values, it holds {stored_bytes}"
            )
        if not stored_bytes:
            return native(np.empty(header.shape, header.dtype))
        order: Any = header.order
        mapped = np.memmap(path, header.dtype, mode="r", offset=offset, shape=header.shape, order=order)
        if not header.dtype.isnative:
            check_claim(header.size_bytes, header.size_bytes, deflated=False, limit_bytes=limit_bytes, where=str(path))
        return native(np.asarray(mapped))


def read_header(stream: IO[bytes], where: str) -> Header:
    """Read and check the head of a `.npy` file; leaves the stream at the first value.

    Raises:
        DamagedFileError: If the version is unknown or a length is negative.
        UnsupportedError: If the dtype is not numeric.
        ValueError: If NumPy refuses the header; `read_errors` translates it.
    """
    version = np.lib.format.read_magic(stream)
    readers: dict[tuple[int, int], Callable[[IO[bytes]], Any]] = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    if version not in readers:  # 3.0 differs only in the names of structured dtypes, which are refused anyway
        raise DamagedFileError(f"{where}: NPY version {version[0]}.{version[1]} is not one that holds plain numbers")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a header written by Python 2 is sound
        shape, fortran_order, dtype = readers[version](stream)
    if min(shape, default=0) < 0:
        raise DamagedFileError(f"{where} is damaged: its header claims the shape {shape}")
    check_numeric(dtype, where)
    return Header(tuple(int(length) for length in shape), dtype, "F" if fortran_order else "C")
