"""Read a user's held-out data: find the format by content, choose the arrays, check that they belong together."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import IO, Protocol

from bprune.arrays import AnyArray
from bprune.errors import DamagedFileError, InputError, UsageError
from bprune.inference.data import hdf5, idx, npy, npz
from bprune.inference.data.dataset import Dataset
from bprune.inference.data.guard import LIMIT_BYTES, read_errors
from bprune.inference.data.keys import choose_keys, choose_labels_key

__all__ = ["FORMATS", "Format", "read_data", "recognise"]


class Format(Protocol):
    """What each format module offers."""

    @property
    def NAME(self) -> str:  # noqa: N802
        """The format in words."""

    @property
    def KEYED(self) -> bool:  # noqa: N802
        """Whether a file holds several arrays with names."""

    def matches(self, stream: IO[bytes]) -> bool:
        """Whether the stream, at its start, is of this format."""

    def list_names(self, path: Path) -> tuple[str, ...]:
        """The arrays of a file."""

    def read_array(self, path: Path, name: str, *, limit_bytes: int) -> AnyArray:
        """One array of a file."""


FORMATS: tuple[Format, ...] = (npz, npy, hdf5, idx)

_STRANGERS: tuple[tuple[bytes | tuple[bytes, ...], str], ...] = (
    ((b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05"), "a Python pickle, which can run code and is never opened"),
    (b"\x1f\x8b", "gzip with something other than an IDX file in it"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ", "xz"),
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"CDF", "a netCDF 3 file"),
    (b"MATLAB", "a MATLAB 5 file"),
    (b"<", "HTML or XML text, perhaps a download that failed"),
    (b"{", "JSON text"),
)


def read_data(
    path: Path,
    *,
    labels: Path | None = None,
    x_key: str | None = None,
    y_key: str | None = None,
    limit_bytes: int = LIMIT_BYTES,
) -> Dataset:
    """Read inputs, and labels if there are any, from NPZ, NPY, HDF5 or MNIST's IDX; the suffix does not matter.

    Args:
        path: The file with the inputs.
        labels: A second file with the labels, or None if they are in the first or there are none.
        x_key: Name of the inputs in the file, or None to go by the known names.
        y_key: Name of the labels in the file (in the second file if there is one), or None.
        limit_bytes: Largest array to read into memory.

    Returns:
        The arrays as they are stored, with notes on the keys that were chosen. Nothing is rescaled.

    Raises:
        MissingFileError: If a file is not there.
        DamagedFileError: If a file is truncated, altered or of no known format.
        UnsupportedError: If an array is not plain numbers inside its own file.
        UsageError: If a key is given for a file whose one array has no name.
        InputError: If the arrays cannot be told apart, differ in length or are above the limit.

    Example:
        >>> data = read_data(Path("mnist.npz"))  # doctest: +SKIP
        >>> data.notes  # doctest: +SKIP
        ("inputs from 'x_test', labels from 'y_test'", "the training part 'x_train' was left out")
    """
    path = Path(path)
    form = recognise(path)
    notes: tuple[str, ...] = ()
    found_labels: AnyArray | None = None
    if form.KEYED:
        names = form.list_names(path)
        keys = choose_keys(names, source=str(path), x_key=x_key, y_key=y_key, labels_elsewhere=labels is not None)
        notes = keys.notes
        inputs = form.read_array(path, keys.x, limit_bytes=limit_bytes)
        if keys.y is not None:
            found_labels = form.read_array(path, keys.y, limit_bytes=limit_bytes)
    else:
        _refuse_key(form, path, x_key=x_key, y_key=None if labels is not None else y_key)
        inputs = form.read_array(path, "", limit_bytes=limit_bytes)
    if labels is not None:
        found_labels, more = _read_labels(Path(labels), y_key, limit_bytes)
        notes += more
    data = Dataset(inputs, found_labels, str(path), notes)
    return _squeeze_labels(data)


def recognise(path: Path) -> Format:
    """Find a file's format from its content.

    Raises:
        MissingFileError: If the file is not there.
        DamagedFileError: If the content is of no known format; the message says what was found.
        InputError: If it is not a regular file, or may not be read.
    """
    with read_errors(path, "file"):
        if not stat.S_ISREG(path.stat().st_mode):  # opening a pipe would wait for ever
            raise InputError(f"{path} is not a regular file")
        with open(path, "rb") as stream:
            for form in FORMATS:
                stream.seek(0)
                if form.matches(stream):
                    return form
            stream.seek(0)
            head = stream.read(64)
    raise DamagedFileError(
        f"{path} is not a data file that BPrune reads: {_describe(head)}",
        hint="Give NPZ, NPY, HDF5 or IDX (plain or gzipped).",
    )


def _describe(head: bytes) -> str:
    if not head:
        return "it is empty"
    for magic, words in _STRANGERS:
        if head.lstrip().startswith(magic):
            return f"found {words}"
    if all(byte in b"\t\r\n" or 32 <= byte < 127 for byte in head):
        return f"found text that begins with {head[:24].decode('ascii')!r}"
    return f"its first bytes are {head[:8].hex(' ')}"


def _refuse_key(form: Format, path: Path, *, x_key: str | None, y_key: str | None) -> None:
    for option, key in (("--x-key", x_key), ("--y-key", y_key)):
        if key is not None:
            raise UsageError(
                f"{option} {key} does not apply: {path} is an {form.NAME}, whose one array has no name",
                hint="Give labels in a second file with --labels.",
            )


def _read_labels(path: Path, y_key: str | None, limit_bytes: int) -> tuple[AnyArray, tuple[str, ...]]:
    form = recognise(path)
    if not form.KEYED:
        _refuse_key(form, path, x_key=None, y_key=y_key)
        return form.read_array(path, "", limit_bytes=limit_bytes), (f"labels from {path}",)
    key = choose_labels_key(form.list_names(path), source=str(path), y_key=y_key)
    return form.read_array(path, key, limit_bytes=limit_bytes), (f"labels from {path}[{key!r}]",)


def _squeeze_labels(data: Dataset) -> Dataset:
    """Integer labels `[example, 1]` become `[example]`."""
    labels = data.labels
    if labels is None or labels.ndim != 2 or labels.shape[1] != 1 or labels.dtype.kind not in "iu":
        return data
    squeezed = Dataset(data.inputs, labels[:, 0], data.source, data.notes)
    return squeezed.noting(f"labels reshaped from {list(labels.shape)} to [{len(labels)}]")
