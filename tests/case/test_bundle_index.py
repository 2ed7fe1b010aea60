"""The strict index check: real files pass, and every check is shown to matter by a hostile file that needs it."""

from __future__ import annotations

import ast
import inspect
import random
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bprune.case import bundle_index
from bprune.case import table as table_reader
from bprune.case.bundle_index import DEFAULT_LIMITS, BundleIndex, IndexLimits, TensorEntry, data_path, read_index
from bprune.case.checkpoint import write_checkpoint
from bprune.errors import DamagedFileError, InputError, MissingFileError, UnsupportedError
from tests.case.bundle_builder import (
    MAGIC,
    Pair,
    block,
    bundle,
    crc32c,
    header,
    message,
    number,
    resealed,
    seals,
    table,
    tensor,
    varint,
)

DATA_BYTES = 64
LOC = tensor(b"loc", (2, 3), size=24)
STEP = tensor(b"step", (), dtype=9, offset=24, size=8)
SOUND = bundle(header(), LOC, STEP)
HUGE = 1 << 40


@dataclass(frozen=True)
class Case:
    """A file that must be refused; `content` None is no file, and `old` lies where a V1 checkpoint would."""

    name: str
    content: bytes | None
    match: str
    error: type[InputError] = DamagedFileError
    limits: IndexLimits = DEFAULT_LIMITS
    old: bytes = b""

    def put(self, place: Path) -> Path:
        place.unlink(missing_ok=True)
        place.with_suffix("").unlink(missing_ok=True)
        if self.content is not None:
            place.write_bytes(self.content)
        if self.old:
            place.with_suffix("").write_bytes(self.old)
        return place


def flipped(content: bytes, bit: int) -> bytes:
    out = bytearray(content)
    out[bit // 8] ^= 1 << bit % 8
    return bytes(out)


def with_loc(*, shape: tuple[int, ...] = (2, 3), size: int = 24, **options: Any) -> bytes:
    return bundle(header(), tensor(b"loc", shape, size=size, **options))


def named(name: bytes) -> bytes:
    return bundle(header(), tensor(name, (2, 3), size=24))


def reshaped(shape: bytes) -> bytes:
    """An entry whose shape message is given byte by byte."""
    return bundle(header(), (b"loc", number(1, 1) + message(2, shape) + number(5, 24)))


TABLE_CASES = [
    Case("no file", None, "this file is missing", MissingFileError),
    Case("no file, another beside", None, "this file is missing", MissingFileError, old=b"x"),
    Case("V1 file", None, "old V1 format", UnsupportedError, old=bundle((b"", message(1, b"\x0a\x03loc")))),
    Case("empty file", b"", "does not end as an index"),
    Case("text", b"version https://git-lfs.github.com/spec/v1\noid sha256:0000\n", "does not end as an index"),
    Case("magic", flipped(SOUND, 8 * len(SOUND) - 1), "does not end as an index"),
    Case("larger than allowed", SOUND, "more than 100 bytes", limits=IndexLimits(file_bytes=100)),
    Case("checksum", flipped(SOUND, 80), "a checksum does not match"),
    Case("footer padding", table([block([header(), LOC])], padding=b"\1"), "unused bytes of its footer"),
    Case("footer points far away", SOUND[:-48] + varint(1 << 60) * 4 + bytes(4) + MAGIC, "a gap or an overlap"),
    Case("bytes before the blocks", table([block([header(), LOC])], before=b"x"), "a gap or an overlap"),
    Case("bytes after the blocks", table([block([header(), LOC])], after=b"x"), "do not fill the file"),
    Case("extra information", table([block([header(), LOC])], meta=block([LOC])), "extra information is not empty"),
    Case("after a position", table([block([header(), LOC])], handle_extra=b"\0"), "followed by something else"),
    Case(
        "compressed", table([block([header(), LOC])], compression=1), "its blocks are compressed", UnsupportedError
    ),
    Case("empty block", table([block([header(), LOC]), block([])], [b"m", b"n"]), "a block has no content"),
    Case("no blocks", table([], []), "a block has no content"),
    Case("no restarts", table([block([header(), LOC])[:-4] + bytes(4)]), "a block has no content"),
    Case("restart inside an entry", table([block([header(), LOC], [0, 5])]), "search positions are wrong"),
    Case("restarts out of order", table([block([header(), LOC], [0, 0])]), "search positions are wrong"),
    Case("separator before its block", table([block([header(), LOC])], [b"a"]), "index of blocks does not fit"),
    Case("separator after the next", table([block([header(), LOC]), block([STEP])], [b"x", b"y"]), "not in order"),
    Case("names out of order", bundle(header(), STEP, LOC), "not in order, or one is there twice"),
    Case("name twice", bundle(header(), LOC, LOC), "not in order, or one is there twice"),
    Case("shares with nothing", table([block([header()])[:-8] + b"\1\0\0" + block([])]), "does not fit into its block"),
    Case("value too long", table([b"\0\0\x7f" + block([])]), "does not fit into its block"),
    Case("entry cut short", table([b"\x80" + block([])[4:]]), "cut short|has no content"),
    Case("too many tensors", SOUND, "more than 1 tensors", limits=IndexLimits(entries=1)),
    Case("too many blocks", table([block([header(), LOC])] * 3, [b"x", b"y", b"z"]), "more than 1 blocks",
         limits=IndexLimits(entries=1)),
]  # fmt: skip
VALUE_CASES = [
    Case("no header", bundle(LOC, STEP), "its header is missing"),
    Case("no shards", bundle(header(0)), "claims 0 data files"),
    Case("4097 shards", bundle(header(4097), LOC), "claims 4097 data files"),
    Case("negative shards", bundle(header(-1), LOC), "claims 18446744073709551615 data files"),
    Case("big-endian", bundle(header(endianness=1), LOC), "not little-endian", UnsupportedError),
    Case("newer format", bundle(header(min_consumer=2), LOC), "newer than BPrune knows", UnsupportedError),
    Case("V1", bundle((b"", message(1, b"\x0a\x03loc"))), "old V1 format", UnsupportedError),
    Case("unknown field in the header", bundle(header(extra=number(4, 1)), LOC), "number 4, type 0"),
    Case("unknown field in an entry", with_loc(extra=number(8, 1)), "number 8, type 0"),
    Case("unknown field in a shape", reshaped(number(3, 1)), "number 3, type 0"),
    Case("field of another type", with_loc(extra=message(3, b"")), "number 3, type 2"),
    Case("field twice", with_loc(extra=number(4, 8)), "there twice .number 4"),
    Case("field cut short", with_loc(extra=b"\x3a\x05x"), "a field in it is cut short"),
    Case("number of 11 bytes", with_loc(extra=b"\x80" * 11), "a number in it is cut short"),
    Case("number with zeros before it", with_loc(extra=b"\xb8\x80\x00\0"), "not in its shortest form"),
    Case("number of 65 bits", bundle((b"", b"\x08" + b"\xff" * 9 + b"\x02")), "not in its shortest form"),
    Case("slice of a variable", named(b"\0loc\0\1"), "a partitioned variable", UnsupportedError),
    Case("slices", with_loc(extra=message(7, b"\x0a\0")), "'loc' is a partitioned variable", UnsupportedError),
    Case("not UTF-8", named(b"lo\xff"), "is not UTF-8"),
    Case("newline in a name", named(b"lo\nc"), "cannot be printed"),
    Case("direction mark in a name", named("lo\u202ec".encode()), "cannot be printed"),
    Case("long name", named(b"x" * 1025), "more than 1024 bytes"),
    Case("no data type", with_loc(dtype=0, size=0), "data type number 0"),
    Case("reference type", with_loc(dtype=101, size=0), "data type number 101"),
    Case("variant", with_loc(dtype=21, size=0), "data type number 21", UnsupportedError),
    Case("9 dimensions", with_loc(shape=(1,) * 9, size=4), "9 dimensions"),
    Case("2^40 elements in 24 bytes", with_loc(shape=(HUGE,)), "takes 4398046511104"),
    Case("overflow", with_loc(shape=(HUGE, HUGE)), "impossible shape"),
    Case("overflow times zero", with_loc(shape=(HUGE, HUGE, 0), size=0), "impossible shape"),
    Case("negative dimension", with_loc(shape=(-1, 0), size=0), "impossible shape"),
    Case("two negative dimensions", with_loc(shape=(-2, -3)), "impossible shape"),
    Case("size of another type", with_loc(dtype=2), "takes 48"),
    Case("strings too short", with_loc(dtype=7, size=9), "too few for strings"),
    Case("shard out of range", with_loc(shard=1), "data file 1 of 1"),
    Case("negative shard", with_loc(shard=-1), "data file 18446744073709551615"),
    Case("offset overflow", with_loc(offset=(1 << 63) - 8), "beyond every possible file"),
    Case("negative offset", with_loc(offset=-8), "beyond every possible file"),
    Case("overlap", bundle(header(), LOC, tensor(b"step", (), dtype=9, offset=20, size=8)), "'loc' and 'step' share"),
    Case("same bytes", bundle(header(), LOC, tensor(b"mean", (6,), size=24)), "'loc' and 'mean' share"),
    Case("2^40 honest elements", with_loc(shape=(HUGE,), size=4 * HUGE), "ends at byte 4398046511104"),
    Case("beyond the data file", with_loc(offset=DATA_BYTES - 23), "ends at byte 65 .* has 64"),
    Case("no such data file", with_loc().replace(number(1, 1), number(1, 2), 1), "a checksum does not match"),
    Case("shard 1 is missing", bundle(header(2), tensor(b"loc", (2, 3), shard=1, size=24)), "00001-of-00002 is missing",
         MissingFileError),
]  # fmt: skip
CASES = TABLE_CASES + VALUE_CASES


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """The path of an index; a data file of 64 bytes lies beside it."""
    data_path(tmp_path / "m", 0, 1).write_bytes(bytes(DATA_BYTES))
    return tmp_path / "m.index"


def test_builder_knows_crc32c() -> None:
    assert crc32c(b"123456789") == 0xE3069283  # the check value of the CRC catalogue
    assert resealed(SOUND, seals(SOUND)) == SOUND


def test_sound_index(place: Path) -> None:
    place.write_bytes(SOUND)
    assert read_index(place) == BundleIndex(
        1,
        {
            "loc": TensorEntry("float32", (2, 3), 0, 0, 24, 0),
            "step": TensorEntry("int64", (), 0, 24, 8, 0),
        },
    )


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_hostile_index_is_refused(place: Path, case: Case) -> None:
    case.put(place)
    with pytest.raises(case.error, match=case.match) as caught:
        read_index(place, limits=case.limits)
    assert type(caught.value) is case.error
    assert str(place) in caught.value.message
    assert caught.value.hint


def _outcome(place: Path, case: Case) -> str:
    try:
        read_index(case.put(place), limits=case.limits)
    except InputError as error:
        return error.message
    except Exception as error:
        return type(error).__name__
    return "accepted"


READERS = (table_reader, bundle_index)
Place = tuple[str, int]


def _checks() -> dict[Place, str]:
    """Place and text of each call of `require` in the reader."""
    found: dict[Place, str] = {}
    for module in READERS:
        tree = ast.parse(inspect.getsource(module))
        calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
        named = [call for call in calls if getattr(call.func, "id", "") == "require"]
        found.update({(module.__name__, call.lineno): ast.unparse(call.args[1]) for call in named})
    return found


def test_every_check_is_needed(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each check refuses a case, and switched off alone it changes what becomes of one."""
    require, checks = table_reader.require, _checks()
    refused_at: dict[Place, list[Case]] = {line: [] for line in checks}
    nowhere: Place = ("", 0)
    failed = off = nowhere

    def watched(holds: bool, *rest: Any) -> None:
        nonlocal failed
        frame = sys._getframe(1)
        line = (frame.f_globals["__name__"], frame.f_lineno)
        if not holds and line != off:
            failed = line
            require(holds, *rest)

    for module in READERS:
        monkeypatch.setattr(module, "require", watched)
    before = {}
    for case in CASES:
        failed = nowhere
        before[case.name] = _outcome(place, case)
        if failed != nowhere:
            refused_at[failed].append(case)
    assert [text for line, text in checks.items() if not refused_at[line]] == []
    idle = []
    for off, text in checks.items():
        if all(_outcome(place, case) == before[case.name] for case in refused_at[off]):
            idle.append(text)
    assert idle == []


def _is_refused(place: Path, content: bytes) -> bool:
    place.write_bytes(content)
    try:
        read_index(place)
    except InputError:
        return True
    return False


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The index of a checkpoint with six tensors, written by TensorFlow."""
    prefix = tmp_path_factory.mktemp("small") / "m"
    values = {f"layer_{i}/loc": np.full((i, 3), i, np.float32) for i in range(5)}
    write_checkpoint(prefix, {**values, "global_step": np.asarray(7)})
    return prefix.with_suffix(".index")


def test_every_flipped_bit_is_refused(small: Path) -> None:
    """2,200 cases: every bit of a real index of 275 bytes."""
    content = small.read_bytes()
    accepted = [bit for bit in range(8 * len(content)) if not _is_refused(small, flipped(content, bit))]
    small.write_bytes(content)
    assert len(content) > 250
    assert accepted == []
    assert len(read_index(small).entries) == 6


def test_every_truncation_is_refused(small: Path) -> None:
    """275 cases, and 100 with bytes after the end."""
    content = small.read_bytes()
    accepted = [end for end in range(len(content)) if not _is_refused(small, content[:end])]
    longer = [more for more in range(1, 101) if not _is_refused(small, content + bytes(more))]
    small.write_bytes(content)
    assert (accepted, longer) == ([], [])


def test_random_bytes_are_refused(small: Path) -> None:
    """900 cases: 1 to 32 bytes overwritten by random ones; noise; noise that ends as an index ends."""
    content, rng = small.read_bytes(), random.Random(1)
    accepted = []
    for case in range(300):
        overwritten, length = bytearray(content), rng.randint(1, 32)
        at = rng.randrange(len(content) - length)
        overwritten[at : at + length] = rng.randbytes(length)
        for hostile in (bytes(overwritten), rng.randbytes(case), rng.randbytes(case + 40) + MAGIC):
            if hostile != content and not _is_refused(small, hostile):
                accepted.append(hostile)
    small.write_bytes(content)
    assert accepted == []


def test_flips_pass_without_the_checksum(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The negative control of the three tests above: without the checksum some altered files would be believed."""
    content, require = small.read_bytes(), table_reader.require

    def without_checksum(holds: bool, what: str, *rest: Any) -> None:
        require(holds or "checksum" in what, what, *rest)

    for module in READERS:
        monkeypatch.setattr(module, "require", without_checksum)
    accepted = [bit for bit in range(8 * len(content)) if not _is_refused(small, flipped(content, bit))]
    small.write_bytes(content)
    assert len(accepted) > 100


def test_a_hundred_variables_take_milliseconds(place: Path) -> None:
    pairs: list[Pair] = [tensor(b"layer/kernel_posterior_loc_%03d" % i, (0, 3)) for i in range(100)]
    place.write_bytes(bundle(header(), *pairs))
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        read_index(place)
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 0.02


def test_too_many_tensors(place: Path) -> None:
    """100,001 tensors are refused, 100,000 are not."""
    pairs = [tensor(b"%06d" % i, (0,)) for i in range(100_001)]
    place.write_bytes(bundle(header(), *pairs[:-1]))
    assert len(read_index(place).entries) == 100_000
    place.write_bytes(bundle(header(), *pairs))
    with pytest.raises(DamagedFileError, match="more than 100000 tensors"):
        read_index(place)


def test_folder_instead_of_file(tmp_path: Path) -> None:
    (tmp_path / "m.index").mkdir()
    with pytest.raises(MissingFileError, match="this file is missing"):
        read_index(tmp_path / "m.index")


def test_reader_needs_the_standard_library_alone() -> None:
    nodes = [node for module in READERS for node in ast.walk(ast.parse(inspect.getsource(module)))]
    names = {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}
    names |= {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    foreign = {name for name in names if name.split(".")[0] not in sys.stdlib_module_names}
    assert foreign == {"bprune.case.table", "bprune.errors"}
