"""What every reader checks before it allocates, and how foreign errors become BPrune's."""

from __future__ import annotations

import contextlib
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from bprune.arrays import AnyArray
from bprune.errors import BPruneError, DamagedFileError, InputError, MissingFileError, UnsupportedError

__all__ = ["DEFLATE_RATIO", "LIMIT_BYTES", "check_claim", "check_numeric", "native", "read_errors"]

LIMIT_BYTES = 16 * 1024**3
"""Largest array that is read into memory unless the caller says otherwise."""

DEFLATE_RATIO = 1032
"""Deflate (zip, gzip, HDF5's gzip) cannot expand a byte to more than this many."""

_DEFLATE_SLACK_BYTES = 1024

_FOREIGN = (
    OSError,
    EOFError,
    ValueError,  # UnicodeDecodeError too
    TypeError,
    LookupError,
    RuntimeError,  # NotImplementedError and RecursionError too
    OverflowError,
    SyntaxError,
    struct.error,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
)


@contextlib.contextmanager
def read_errors(path: Path, format_name: str) -> Iterator[None]:
    """Translate what NumPy, zipfile, zlib, gzip and h5py raise on a bad file.

    Raises:
        MissingFileError: If the file is not there.
        DamagedFileError: If the body raises any of the errors that a damaged file causes.
        InputError: If the file may not be read, or does not fit into memory.
    """
    try:
        yield
    except BPruneError:
        raise
    except FileNotFoundError as error:
        raise MissingFileError(f"{path} does not exist") from error
    except (PermissionError, IsADirectoryError) as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from error
    except MemoryError as error:
        raise InputError(
            f"{path} does not fit into memory",
            hint="Save the inputs as .npy (it is read in place) or fewer of them.",
        ) from error
    except _FOREIGN as error:
        reason = (str(error).splitlines() or [""])[0] or type(error).__name__
        raise DamagedFileError(f"{path} is damaged: not a readable {format_name} ({reason})") from error


def check_numeric(dtype: np.dtype[Any], where: str) -> None:
    """Accept bool, integer and real dtypes of at most 8 bytes.

    Raises:
        UnsupportedError: If the dtype is another one; Python objects would need pickle, which can run code.
    """
    if dtype.hasobject:
        raise UnsupportedError(
            f"{where} holds Python objects, which only pickle can read; that can run code, so it is refused",
            hint="Save it as a numeric array, for example np.stack(x).astype('float32').",
        )
    if dtype.kind not in "biuf" or dtype.itemsize > 8 or dtype.names is not None or dtype.subdtype is not None:
        raise UnsupportedError(
            f"{where} has dtype {dtype}; allowed are bool, integers and floats of at most 64 bits",
            hint="Save it as a numeric array, for example x.astype('float32').",
        )


def check_claim(claimed_bytes: int, stored_bytes: int, *, deflated: bool, limit_bytes: int, where: str) -> None:
    """Compare the size that a file claims for an array with the limit and with the bytes that are there.

    Args:
        claimed_bytes: Size of the array in memory, as the file claims it.
        stored_bytes: Bytes in the file that hold it.
        deflated: Whether those bytes are compressed with deflate.
        limit_bytes: Largest array to read.
        where: File and array, for the message.

    Raises:
        InputError: If the claim is above the limit.
        DamagedFileError: If the stored bytes cannot hold what is claimed.
    """
    if claimed_bytes > limit_bytes:
        raise InputError(
            f"{where} claims {claimed_bytes} bytes, more than the limit of {limit_bytes}",
            hint="Save fewer examples, save the inputs as .npy (read in place), or raise limit_bytes in Python.",
        )
    most = stored_bytes * DEFLATE_RATIO + _DEFLATE_SLACK_BYTES if deflated else stored_bytes
    if claimed_bytes > most:
        raise DamagedFileError(f"{where} claims {claimed_bytes} bytes, but only {stored_bytes} bytes are stored")


def native(array: AnyArray) -> AnyArray:
    """The same values in this machine's byte order; no copy when they have it already."""
    return array.astype(array.dtype.newbyteorder("="), copy=False)
