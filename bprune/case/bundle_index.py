"""The strict reader of a TensorFlow V2 checkpoint ("tensor bundle") index.

A `.index` file is a sorted table of checksummed blocks: a header, then one entry per tensor that says where in the
`.data` files its bytes lie. TensorFlow's own reader aborts the process on some altered files. This one is plain Python
and refuses what TensorFlow's writer would not have written, so what passes here is safe to hand to TensorFlow.

Source: TensorFlow, `tensor_bundle.proto` and `tensor_bundle.cc`; LevelDB, `doc/table_format.md`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from bprune.case.table import (
    COPY_HINT,
    DEFAULT_LIMITS,
    MAGIC,
    V1_HINT,
    IndexLimits,
    RefusedError,
    require,
    sorted_pairs,
    varint,
)
from bprune.errors import DamagedFileError, InputError, MissingFileError, UnsupportedError

__all__ = [
    "DEFAULT_LIMITS",
    "VALUE_DTYPES",
    "BundleIndex",
    "IndexLimits",
    "TensorEntry",
    "data_path",
    "index_path",
    "read_index",
]

_DTYPES = {
    1: ("float32", 4), 2: ("float64", 8), 3: ("int32", 4), 4: ("uint8", 1), 5: ("int16", 2), 6: ("int8", 1),
    7: ("string", 0), 8: ("complex64", 8), 9: ("int64", 8), 10: ("bool", 1), 14: ("bfloat16", 2), 17: ("uint16", 2),
    18: ("complex128", 16), 19: ("float16", 2), 22: ("uint32", 4), 23: ("uint64", 8),
}  # fmt: skip
VALUE_DTYPES = frozenset(name for name, item_bytes in _DTYPES.values() if item_bytes)
"""The data types whose values BPrune reads and writes."""
_OTHER_DTYPES = range(11, 34)  # quantized, resource, variant, floats and integers of 8 bits and less

_VARINT, _BYTES, _FIXED32 = 0, 2, 5  # protobuf wire types; below: field numbers and their types
_HEADER = {1: _VARINT, 2: _VARINT, 3: _BYTES}  # num_shards, endianness, version
_VERSION = {1: _VARINT, 2: _VARINT}  # producer, min_consumer
_ENTRY = {1: _VARINT, 2: _BYTES, 3: _VARINT, 4: _VARINT, 5: _VARINT, 6: _FIXED32, 7: _BYTES}  # as TensorEntry; slices
_SHAPE, _DIM = {2: _BYTES}, {1: _VARINT}  # dim (repeated), size

_REBUILD = "Restore it in a script that builds its variables without a partitioner, and save it again."


@dataclass(frozen=True)
class TensorEntry:
    """Where a tensor's bytes lie and what they are.

    Attributes:
        dtype: NumPy-style name: "float32", "bfloat16", "int64", "bool", "string", ...
        shape: Dimensions, each >= 0.
        shard: Number of the data file, from 0.
        offset: First byte in the data file.
        size_bytes: Number of bytes.
        crc32c: Masked CRC32C of the bytes, as stored.
    """

    dtype: str
    shape: tuple[int, ...]
    shard: int
    offset: int
    size_bytes: int
    crc32c: int


@dataclass(frozen=True)
class BundleIndex:
    """A checked index.

    Attributes:
        shards: Number of data files.
        entries: Tensors by name, in the file's order (sorted by the names' bytes).
    """

    shards: int
    entries: Mapping[str, TensorEntry]


def index_path(prefix: Path) -> Path:
    """The index file of a checkpoint prefix."""
    return prefix.parent / f"{prefix.name}.index"


def data_path(prefix: Path, shard: int, shards: int) -> Path:
    """One of the data files of a checkpoint prefix."""
    return prefix.parent / f"{prefix.name}.data-{shard:05d}-of-{shards:05d}"


def read_index(path: Path, *, limits: IndexLimits = DEFAULT_LIMITS, require_data: bool = True) -> BundleIndex:
    """Read and check an index file.

    Args:
        path: The `.index` file.
        limits: What it may claim.
        require_data: Whether the data files must be there and long enough. Their content is not read.

    Returns:
        The index.

    Raises:
        MissingFileError: If the index, or a data file when required, is not there.
        DamagedFileError: If a file is truncated, altered or not an index, or they do not belong together.
        UnsupportedError: If it is a V1 checkpoint, compressed, partitioned, or of a data type that is not read.
        InputError: If the operating system refuses to read it.
    """
    try:
        index = _parse(_content(path, limits), limits)
        if require_data:
            _check_data(path, index)
        return index
    except RefusedError as refusal:
        what, error, hint = refusal.args
        raise error(f"{path}: {what}", hint=hint) from None
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}", hint="Check the file's permissions.") from error


def _content(path: Path, limits: IndexLimits) -> bytes:
    if not path.is_file():
        require(not _is_table(_prefix(path)), "the checkpoint has the old V1 format", UnsupportedError, V1_HINT)
        hint = "Copy it from where the checkpoint was written; it lies beside the .data files."
        require(False, "this file is missing; it says which tensors a checkpoint holds", MissingFileError, hint)
    with path.open("rb") as stream:
        content = stream.read(limits.file_bytes + 1)
    require(len(content) <= limits.file_bytes, f"it has more than {limits.file_bytes} bytes")
    return content


def _prefix(path: Path) -> Path:
    return path.parent / path.name.removesuffix(".index")


def _is_table(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as stream:
        stream.seek(max(0, path.stat().st_size - len(MAGIC)))
        return stream.read() == MAGIC


def _parse(content: bytes, limits: IndexLimits) -> BundleIndex:
    pairs = sorted_pairs(content, limits)
    require(pairs[0][0] == b"", "its header is missing")
    shards = _shards(pairs[0][1], limits)
    entries: dict[str, TensorEntry] = {}
    for key, value in pairs[1:]:
        name = _name(key)
        entries[name] = _entry(name, value, shards, limits)
    _check_overlaps(entries)
    return BundleIndex(shards, entries)


def _fields(data: bytes, known: Mapping[int, int]) -> Iterator[tuple[int, int, bytes]]:
    """The fields of a message: number, value, and content (of those that have one)."""
    at = 0
    while at < len(data):
        tag, at = varint(data, at)
        field, wire = tag >> 3, tag & 7
        require(known.get(field) == wire, f"a field in it is unknown (number {field}, type {wire})")
        fixed = int.from_bytes(data[at : at + 4], "little"), at + 4
        value, at = fixed if wire == _FIXED32 else varint(data, at)
        content = data[at : at + value] if wire == _BYTES else b""
        at += value if wire == _BYTES else 0
        require(at <= len(data), "a field in it is cut short")
        yield field, value, content


def _message(data: bytes, known: Mapping[int, int]) -> tuple[dict[int, int], dict[int, bytes]]:
    values: dict[int, int] = {}
    contents: dict[int, bytes] = {}
    for field, value, content in _fields(data, known):
        require(field not in values, f"a field in it is there twice (number {field})")
        values[field], contents[field] = value, content
    return values, contents


def _shards(header: bytes, limits: IndexLimits) -> int:
    require(header[:1] != b"\x0a", "the checkpoint has the old V1 format", UnsupportedError, V1_HINT)
    values, contents = _message(header, _HEADER)
    shards = values.get(1, 0)
    require(1 <= shards <= limits.shards, f"it claims {shards} data files; 1 to {limits.shards} are allowed")
    require(not values.get(2), "it is not little-endian", UnsupportedError, "Save it on a little-endian machine.")
    version, _ = _message(contents.get(3, b""), _VERSION)
    require(version.get(2, 0) <= 1, "its format is newer than BPrune knows", UnsupportedError, "Update BPrune.")
    return shards


def _name(key: bytes) -> str:
    require(not key.startswith(b"\0"), "it holds a partitioned variable", UnsupportedError, _REBUILD)
    try:
        name = key.decode("utf-8")
    except UnicodeDecodeError:
        raise RefusedError(f"the name {key!r} is not UTF-8", DamagedFileError, COPY_HINT) from None
    require(name.isprintable(), f"the name {name!r} has characters that cannot be printed")
    return name


def _entry(name: str, value: bytes, shards: int, limits: IndexLimits) -> TensorEntry:
    values, contents = _message(value, _ENTRY)
    require(7 not in contents, f"{name!r} is a partitioned variable", UnsupportedError, _REBUILD)
    number, shard, offset, size = (values.get(field, 0) for field in (1, 3, 4, 5))
    dtype, item_bytes = _DTYPES.get(number, ("", 0))
    foreign = UnsupportedError if number in _OTHER_DTYPES else DamagedFileError
    require(bool(dtype), f"{name!r} has data type number {number}, which BPrune does not read", foreign)
    shape = _shape(name, contents.get(2, b""), limits)
    elements = math.prod(shape)
    if dtype == "string":  # the length of each element takes a byte or more, their checksum takes four
        require(size >= elements + 4, f"{name!r} has {size} bytes, too few for strings of shape {list(shape)}")
    else:
        wanted = elements * item_bytes
        require(size == wanted, f"{name!r} has {size} bytes, but {dtype} {list(shape)} takes {wanted}")
    require(shard < shards, f"{name!r} lies in data file {shard} of {shards}, counted from 0")
    require(offset + size < 1 << 63, f"{name!r} lies beyond every possible file")
    return TensorEntry(dtype, shape, shard, offset, size, values.get(6, 0))


def _shape(name: str, message: bytes, limits: IndexLimits) -> tuple[int, ...]:
    shape = tuple(_message(dim, _DIM)[0].get(1, 0) for _, _, dim in _fields(message, _SHAPE))
    require(len(shape) <= limits.rank, f"{name!r} has {len(shape)} dimensions; at most {limits.rank} are allowed")
    # TensorFlow aborts when the product overflows, even where a later dimension is zero; negative ones are huge here
    possible = math.prod(max(size, 1) for size in shape) < 1 << 59
    require(possible, f"{name!r} has the impossible shape {list(shape)}")
    return shape


def _check_overlaps(entries: Mapping[str, TensorEntry]) -> None:
    filled = sorted((entry.shard, entry.offset, name) for name, entry in entries.items() if entry.size_bytes)
    for (shard, start, name), (next_shard, next_start, other) in itertools.pairwise(filled):
        apart = shard != next_shard or start + entries[name].size_bytes <= next_start
        require(apart, f"{name!r} and {other!r} share bytes")


def _check_data(path: Path, index: BundleIndex) -> None:
    """Every byte that the index speaks of must be there; TensorFlow raises a plain IndexError otherwise."""
    hint = f"Copy it from where the checkpoint was written. {path.name} alone gives names and shapes, but no values."
    sizes: dict[int, int] = {}
    for name, entry in index.entries.items():
        data = data_path(_prefix(path), entry.shard, index.shards)
        if entry.shard not in sizes:
            require(data.is_file(), f"its data file {data} is missing", MissingFileError, hint)
            sizes[entry.shard] = data.stat().st_size
        end, size = entry.offset + entry.size_bytes, sizes[entry.shard]
        require(end <= size, f"{name!r} ends at byte {end} of {data}, which has {size}: truncated, or of another save")
