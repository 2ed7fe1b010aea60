"""The values of a checkpoint, and writing new ones. TensorFlow is imported when a value is read or written."""

from __future__ import annotations

import contextlib
import difflib
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bprune.arrays import AnyArray
from bprune.atomic import TEMPORARY_PREFIX, output_errors, publish
from bprune.case.bundle_index import DEFAULT_LIMITS, VALUE_DTYPES, TensorEntry, data_path, index_path, read_index
from bprune.errors import DamagedFileError, InputError, OutputError, UnsupportedError

__all__ = ["Checkpoint", "open_checkpoint", "write_checkpoint"]

_BLOCK_BYTES = 1 << 20


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint whose index was checked. Make one with `open_checkpoint`.

    Attributes:
        prefix: The path without `.index`.
        entries: Tensors by name, sorted by the names' bytes.
        shards: Number of data files.
    """

    prefix: Path
    entries: Mapping[str, TensorEntry]
    shards: int

    def read(self, name: str) -> AnyArray:
        """The value of one tensor; for several, `read_all` is faster.

        Args:
            name: A name in `entries`.

        Returns:
            A read-only array of the dtype and shape in `entries`.

        Raises:
            InputError: If there is no such tensor.
            UnsupportedError: If it holds strings.
            DamagedFileError: If its bytes do not match their checksum, or the files changed since they were opened.
        """
        return self.read_all([name])[name]

    def read_all(self, names: Iterable[str] | None = None) -> dict[str, AnyArray]:
        """The values of several tensors.

        Args:
            names: Names in `entries`, or None for all tensors that do not hold strings.

        Returns:
            Read-only arrays by name, in the order asked for.

        Raises:
            InputError: If there is no such tensor.
            UnsupportedError: If one holds strings.
            DamagedFileError: If bytes do not match their checksum, or the files changed since they were opened.
        """
        if names is None:
            names = [name for name, entry in self.entries.items() if entry.dtype in VALUE_DTYPES]
        entries = {name: self._entry(name) for name in names}
        with _translated(self.prefix), self._private_view() as view:
            import tensorflow as tf

            reader = tf.train.load_checkpoint(str(view))
            return {name: _checked(reader.get_tensor(name), name, entry) for name, entry in entries.items()}

    def digest(self) -> str:
        """The SHA-256 of the index and then of the data files in order, as "sha256:<hex>".

        Raises:
            InputError: If a file cannot be read.
        """
        digest = hashlib.sha256()
        try:
            for path in (index_path(self.prefix), *self._data_paths(self.prefix)):
                with path.open("rb") as stream:
                    while block := stream.read(_BLOCK_BYTES):
                        digest.update(block)
        except OSError as error:
            raise InputError(f"cannot read {error.filename}: {error.strerror}") from error
        return f"sha256:{digest.hexdigest()}"

    def _entry(self, name: str) -> TensorEntry:
        if name not in self.entries:
            near = difflib.get_close_matches(name, self.entries, n=3)
            raise InputError(
                f"{self.prefix} has no tensor {name!r}",
                hint=f"Did you mean {' or '.join(near)}?" if near else f"It has {len(self.entries)} others.",
            )
        entry = self.entries[name]
        if entry.dtype not in VALUE_DTYPES:
            raise UnsupportedError(f"{name!r} in {self.prefix} holds strings", hint="BPrune reads numbers only.")
        return entry

    def _data_paths(self, prefix: Path) -> list[Path]:
        """The data files that hold tensors, in order."""
        return [data_path(prefix, shard, self.shards) for shard in sorted({e.shard for e in self.entries.values()})]

    @contextlib.contextmanager
    def _private_view(self) -> Iterator[Path]:
        """The prefix of a copy of the index, checked again, with links to the data files.

        So TensorFlow reads the very bytes that were checked, and never sees the user's path, whose brackets it would
        take for a pattern and whose folder (if one has the prefix's name) it would search for another checkpoint.
        """
        with tempfile.TemporaryDirectory(prefix=TEMPORARY_PREFIX) as folder:
            view = Path(folder) / "view"
            shutil.copyfile(index_path(self.prefix), index_path(view))
            if not self._agrees_with(index_path(view)):
                raise DamagedFileError(f"{index_path(self.prefix)} changed since it was opened", hint="Open it again.")
            for link, data in zip(self._data_paths(view), self._data_paths(self.prefix), strict=True):
                link.symlink_to(data.absolute())
            yield view

    def _agrees_with(self, index: Path) -> bool:
        try:
            return read_index(index, require_data=False).entries == self.entries
        except InputError:
            return False


@contextlib.contextmanager
def _translated(prefix: Path) -> Iterator[None]:
    """Every error that TensorFlow is known to raise on damaged files, as one."""
    import tensorflow as tf

    foreign = (tf.errors.OpError, IndexError, KeyError, MemoryError, TypeError, ValueError)
    try:
        yield
    except InputError:
        raise
    except OSError as error:
        raise InputError(f"cannot read {prefix}: {error}") from error
    except foreign as error:
        raise DamagedFileError(
            f"{prefix}: the values cannot be read: {_first_line(error)}",
            hint="Copy the checkpoint again from its source; nothing of it was used.",
        ) from error


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _checked(value: object, name: str, entry: TensorEntry) -> AnyArray:
    array = np.asarray(value)
    if array.dtype.name != entry.dtype or array.shape != entry.shape:
        raise DamagedFileError(
            f"{name!r} was read as {array.dtype.name} {list(array.shape)}, but the index says "
            f"{entry.dtype} {list(entry.shape)}"
        )
    array.setflags(write=False)
    return array


def open_checkpoint(prefix: Path) -> Checkpoint:
    """Check a checkpoint's index; no value is read and TensorFlow is not imported.

    Args:
        prefix: The path without `.index`.

    Returns:
        The checkpoint.

    Raises:
        MissingFileError: If the index or a data file is not there.
        DamagedFileError: If the index is truncated, altered or foreign, or a data file is too short.
        UnsupportedError: If it is a V1 checkpoint, compressed, partitioned, or of a data type that is not read.
        InputError: If the operating system refuses to read it.
    """
    index = read_index(index_path(prefix))
    return Checkpoint(prefix, index.entries, index.shards)


def write_checkpoint(prefix: Path, values: Mapping[str, AnyArray], *, overwrite: bool = False) -> None:
    """Write a V2 checkpoint with exactly these tensors.

    The data file gets its name before the index: an index that can be seen belongs to a complete checkpoint, and a data
    file without an index is the rest of an interrupted writer, which is replaced. The same values give the same bytes.

    Args:
        prefix: The path without `.index`. Its folder must exist.
        values: Arrays by name. Any dtype of `VALUE_DTYPES`.
        overwrite: Whether a checkpoint of this name is replaced.

    Raises:
        InputError: If there is no value, or TensorFlow could not read a name or shape back.
        UnsupportedError: If a value's dtype cannot be stored.
        OutputError: If the checkpoint exists and `overwrite` is false, or cannot be written; nothing is left behind.
    """
    arrays = {name: _storable(name, values[name]) for name in sorted(values)}
    if not arrays:
        raise InputError(f"{prefix}: a checkpoint needs at least one tensor")
    index, data = index_path(prefix), data_path(prefix, 0, 1)
    with output_errors(prefix), tempfile.TemporaryDirectory(prefix=TEMPORARY_PREFIX, dir=prefix.parent) as folder:
        if index.exists() and not overwrite:
            raise OutputError(f"{index} exists already and was left as it is", hint="Choose another name.")
        draft = Path(folder) / "draft"
        _save(draft, arrays, prefix)
        index.unlink(missing_ok=True)
        try:
            publish(data_path(draft, 0, 1), data, overwrite=True)
            publish(index_path(draft), index)
        except BaseException:
            data.unlink(missing_ok=True)
            raise


def _storable(name: str, value: AnyArray) -> AnyArray:
    array = np.asarray(value)
    if array.dtype.name not in VALUE_DTYPES:
        raise UnsupportedError(
            f"{name!r} has dtype {array.dtype}, which a checkpoint of BPrune cannot hold",
            hint=f"Allowed: {', '.join(sorted(VALUE_DTYPES))}.",
        )
    if not name.isprintable() or not 1 <= len(name.encode()) <= DEFAULT_LIMITS.name_bytes:
        raise InputError(f"{name!r} cannot be a tensor's name", hint="Use 1 to 1024 printable characters.")
    if array.ndim > DEFAULT_LIMITS.rank:
        raise InputError(f"{name!r} has {array.ndim} dimensions; at most {DEFAULT_LIMITS.rank} are allowed")
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def _save(draft: Path, arrays: Mapping[str, AnyArray], prefix: Path) -> None:
    """Save in a graph and session of its own, so that the caller's graph, device and eager mode do not matter."""
    import tensorflow as tf

    v1 = tf.compat.v1
    with tf.Graph().as_default():
        inputs = [v1.placeholder(tf.as_dtype(array.dtype), array.shape) for array in arrays.values()]
        feeds = {tensor.name: array for tensor, array in zip(inputs, arrays.values(), strict=True)}
        save = tf.raw_ops.SaveV2(
            prefix=os.fsencode(draft), tensor_names=list(arrays), shape_and_slices=[""] * len(arrays), tensors=inputs
        )
        try:
            with v1.Session(config=v1.ConfigProto(device_count={"GPU": 0})) as session:
                session.run(save, feeds)
            saved = read_index(index_path(draft)).entries
        except (tf.errors.OpError, InputError) as error:
            reason = _first_line(error.__context__ or error)  # what came before TensorFlow added its graph's story
            raise OutputError(f"cannot write {prefix}: {reason}", hint="Is the disk full?") from error
    wanted = {name: (array.dtype.name, array.shape) for name, array in arrays.items()}
    if {name: (entry.dtype, entry.shape) for name, entry in saved.items()} != wanted:
        raise OutputError(f"cannot write {prefix}: TensorFlow wrote something else than it was given")
