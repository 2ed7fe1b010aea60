"""Builds checkpoint index files byte by byte, sound and hostile ones, without the code under test."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence

MAGIC = struct.pack("<Q", 0xDB4775248B80FB57)
FOOTER_BYTES = 48
SEAL_BYTES = 5
Pair = tuple[bytes, bytes]


def _remainder(byte: int) -> int:
    for _ in range(8):
        byte = byte >> 1 ^ 0x82F63B78 * (byte & 1)
    return byte


_REMAINDERS = [_remainder(byte) for byte in range(256)]


def crc32c(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _REMAINDERS[crc & 255 ^ byte] ^ crc >> 8
    return crc ^ 0xFFFFFFFF


def masked(crc: int) -> int:
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def varint(value: int) -> bytes:
    """A protobuf varint; negative values take ten bytes, as in protobuf."""
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def number(field: int, value: int) -> bytes:
    return varint(field << 3) + varint(value)


def message(field: int, content: bytes) -> bytes:
    return varint(field << 3 | 2) + varint(len(content)) + content


def fixed32(field: int, value: int) -> bytes:
    return varint(field << 3 | 5) + struct.pack("<I", value)


def header(shards: int = 1, endianness: int = 0, min_consumer: int = 0, extra: bytes = b"") -> Pair:
    version = number(1, 1) + number(2, min_consumer)
    return b"", number(1, shards) + number(2, endianness) + message(3, version) + extra


def shape_message(shape: Iterable[int]) -> bytes:
    return b"".join(message(2, number(1, size)) for size in shape)


def tensor(
    name: bytes,
    shape: Sequence[int],
    *,
    dtype: int = 1,
    shard: int = 0,
    offset: int = 0,
    size: int = 0,
    crc: int = 0,
    extra: bytes = b"",
) -> Pair:
    """An entry of TensorFlow's data type number `dtype`; 1 is float32."""
    numbers = number(3, shard) + number(4, offset) + number(5, size)
    return name, number(1, dtype) + message(2, shape_message(shape)) + numbers + fixed32(6, crc) + extra


def block(pairs: Sequence[Pair], restarts: Sequence[int] | None = None) -> bytes:
    """A block without shared prefixes, before it is sealed."""
    parts, starts, at = [], [], 0
    for key, value in pairs:
        parts.append(varint(0) + varint(len(key)) + varint(len(value)) + key + value)
        starts.append(at)
        at += len(parts[-1])
    points = list(restarts) if restarts is not None else starts or [0]
    return b"".join(parts) + struct.pack(f"<{len(points) + 1}I", *points, len(points))


def seal(content: bytes, compression: int = 0) -> bytes:
    body = content + bytes([compression])
    return body + struct.pack("<I", masked(crc32c(body)))


def table(
    blocks: Sequence[bytes],
    separators: Sequence[bytes] = (b"\x7f",),
    *,
    meta: bytes | None = None,
    compression: int = 0,
    before: bytes = b"",
    after: bytes = b"",
    handle_extra: bytes = b"",
    padding: bytes = b"\0",
) -> bytes:
    """A whole index file of the given unsealed data blocks.

    `before` and `after` are loose bytes around the data blocks, `handle_extra` follows each position of a block, and
    `padding` fills the footer.
    """
    out = before
    handles = []
    for content in blocks:
        handles.append(varint(len(out)) + varint(len(content)) + handle_extra)
        out += seal(content, compression)
    out += after
    meta = block([]) if meta is None else meta
    meta_handle = varint(len(out)) + varint(len(meta))
    out += seal(meta)
    index = block(list(zip(separators, handles, strict=True)))
    footer = meta_handle + varint(len(out)) + varint(len(index))
    out += seal(index)
    return out + (footer + padding * (FOOTER_BYTES - len(MAGIC)))[: FOOTER_BYTES - len(MAGIC)] + MAGIC


def bundle(*pairs: Pair) -> bytes:
    """An index file of one block."""
    return table([block(pairs)])


def seals(content: bytes) -> list[tuple[int, int]]:
    """The start and end of each block of a sound one-block index: data, meta, index."""
    at, numbers = len(content) - FOOTER_BYTES, []
    for _ in range(4):
        value = shift = 0
        while True:
            byte = content[at]
            value |= (byte & 127) << shift
            at, shift = at + 1, shift + 7
            if byte < 128:
                break
        numbers.append(value)
    meta, meta_size, index, index_size = numbers
    return [(0, meta - SEAL_BYTES), (meta, meta + meta_size), (index, index + index_size)]


def resealed(content: bytes, spans: Iterable[tuple[int, int]]) -> bytes:
    """The same bytes with right checksums for the blocks at `spans`."""
    out = bytearray(content)
    for start, end in spans:
        out[end + 1 : end + SEAL_BYTES] = struct.pack("<I", masked(crc32c(bytes(out[start : end + 1]))))
    return bytes(out)
