"""The table that an index file is: checksummed blocks of sorted key-value pairs, an index of the blocks, a footer.

Strict: what TensorFlow's writer would not have written is refused.

Source: LevelDB, `doc/table_format.md`; TensorFlow, `table_builder.cc`.
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from bprune.errors import DamagedFileError, InputError, UnsupportedError

__all__ = [
    "COPY_HINT",
    "DEFAULT_LIMITS",
    "MAGIC",
    "V1_HINT",
    "IndexLimits",
    "RefusedError",
    "require",
    "sorted_pairs",
    "varint",
]

MAGIC = struct.pack("<Q", 0xDB4775248B80FB57)
"""The last bytes of every table."""

_FOOTER_BYTES = 48
_SEAL_BYTES = 5  # after each block: one byte of compression type, four bytes of checksum
_EMPTY_BLOCK = struct.pack("<II", 0, 1)

COPY_HINT = "Copy the checkpoint again from its source; nothing of it was used."
"""What to do with a damaged file."""

V1_HINT = "Restore it in TensorFlow and save it with tf.compat.v1.train.Saver, which writes the V2 format by default."
"""What to do with a checkpoint of the old format."""


@dataclass(frozen=True)
class IndexLimits:
    """What an index may claim at most; real ones stay far below.

    Attributes:
        file_bytes: Size of the index file.
        entries: Number of tensors.
        name_bytes: Length of a tensor's name in UTF-8.
        rank: Number of dimensions of a tensor.
        shards: Number of data files.
    """

    file_bytes: int = 64 << 20
    entries: int = 100_000
    name_bytes: int = 1024
    rank: int = 8
    shards: int = 4096


DEFAULT_LIMITS = IndexLimits()


class RefusedError(Exception):
    """What is wrong with the content; `read_index` adds the file's name."""


def require(holds: bool, what: str, error: type[InputError] = DamagedFileError, hint: str = COPY_HINT) -> None:
    """Refuse the file unless something holds.

    Raises:
        RefusedError: If it does not hold.
    """
    if not holds:
        raise RefusedError(what, error, hint)


def sorted_pairs(content: bytes, limits: IndexLimits) -> list[tuple[bytes, bytes]]:
    """All key-value pairs of a table, in order.

    Raises:
        RefusedError: If the content is not a table, or is altered.
    """
    pairs: list[tuple[bytes, bytes]] = []
    last: bytes | None = None
    for separator, offset, size in _blocks(content, limits):
        for key, value in _pairs(_unsealed(content, offset, size), limits):
            require(last is None or last < key, "its names are not in order, or one is there twice")
            require(len(pairs) <= limits.entries, f"it lists more than {limits.entries} tensors")
            pairs.append((key, value))
            last = key
        require(last is not None and last <= separator, "its index of blocks does not fit the blocks")
        last = separator  # the next block's keys must be greater
    return pairs


def _blocks(content: bytes, limits: IndexLimits) -> list[tuple[bytes, int, int]]:
    """The separator key, offset and size of each data block; with the rest they fill the file without a gap."""
    end = len(content) - _FOOTER_BYTES
    require(end >= 0 and content.endswith(MAGIC), "it does not end as an index: it is truncated, or something else")
    footer = content[end : -len(MAGIC)]
    *meta, at = _handle(footer, 0)
    *index, at = _handle(footer, at)
    require(not any(footer[at:]), "the unused bytes of its footer are not zero")
    _check_adjacent([meta, index], meta[0], end)
    require(_unsealed(content, *meta) == _EMPTY_BLOCK, "its block of extra information is not empty")
    blocks: list[tuple[bytes, int, int]] = []
    for separator, value in _pairs(_unsealed(content, *index), limits):
        offset, size, at = _handle(value, 0)
        require(at == len(value), "a block's position is followed by something else")
        require(len(blocks) <= limits.entries, f"it has more than {limits.entries} blocks")
        blocks.append((separator, offset, size))
    _check_adjacent([block[1:] for block in blocks], 0, meta[0])
    return blocks


def _handle(data: bytes, at: int) -> tuple[int, int, int]:
    """The offset and size of a block, and where their two numbers end."""
    offset, at = varint(data, at)
    return offset, *varint(data, at)


def _check_adjacent(handles: Iterable[Iterable[int]], start: int, end: int) -> None:
    for offset, size in handles:
        require(offset == start, "there is a gap or an overlap between its blocks")
        start = offset + size + _SEAL_BYTES
    require(start == end, "its blocks do not fill the file")


def _unsealed(content: bytes, offset: int, size: int) -> bytes:
    """A block's content, after its checksum was compared."""
    end = offset + size
    compression, stored = struct.unpack_from("<BI", content, end)
    require(_masked_crc32c(content[offset : end + 1]) == stored, "a checksum does not match: it is altered")
    require(not compression, "its blocks are compressed, as in V1 checkpoints", UnsupportedError, V1_HINT)
    return content[offset:end]


def _masked_crc32c(data: bytes) -> int:
    table, crc = _crc_table(), 0xFFFFFFFF
    for byte in data:
        crc = table[(crc ^ byte) & 0xFF] ^ crc >> 8
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


@functools.cache
def _crc_table() -> tuple[int, ...]:
    """The remainder of each byte for the Castagnoli polynomial, bits reversed."""
    table = list(range(256))
    for _ in range(8):
        table = [value >> 1 ^ (0x82F63B78 if value & 1 else 0) for value in table]
    return tuple(table)


def _pairs(block: bytes, limits: IndexLimits) -> Iterator[tuple[bytes, bytes]]:
    """The pairs of a block. A key is stored as how much it shares with the key before it, and the rest."""
    count = int.from_bytes(block[-4:], "little")
    end = len(block) - 4 * (count + 1)
    require(count >= 1 and end >= 1, "a block has no content")
    key, at = b"", 0
    whole = set()  # where keys stand that share nothing
    while at < end:
        start = at
        shared, at = varint(block, at)
        rest, at = varint(block, at)
        size, at = varint(block, at)
        require(shared <= len(key) and at + rest + size <= end, "an entry does not fit into its block")
        require(shared + rest <= limits.name_bytes, f"a name has more than {limits.name_bytes} bytes")
        if not shared:
            whole.add(start)
        key = key[:shared] + block[at : at + rest]
        at += rest + size
        yield key, block[at - size : at]
    restarts = struct.unpack_from(f"<{count}I", block, end)  # TensorFlow searches a block from these positions
    require(list(restarts) == sorted(whole.intersection(restarts) | {0}), "a block's search positions are wrong")


def varint(data: bytes, at: int) -> tuple[int, int]:
    """A number of variable length, and where it ends.

    Raises:
        RefusedError: If it is cut short or not in its shortest form.
    """
    value = 0
    for position, byte in enumerate(data[at : at + 10]):
        value |= (byte & 0x7F) << 7 * position
        if byte < 0x80:
            require(value < 1 << 64 and (byte > 0 or position == 0), "a number in it is not in its shortest form")
            return value, at + position + 1
    raise RefusedError("a number in it is cut short", DamagedFileError, COPY_HINT)
