"""Files that are damaged, or made to harm: a typed error, or the values that were saved; never anything else."""

from __future__ import annotations

import gzip
import io
import pickle
import struct
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest

from bprune.arrays import AnyArray
from bprune.errors import DamagedFileError, InputError, UnsupportedError
from bprune.inference.data import Dataset, read_data

X = np.arange(30, dtype=np.float32).reshape(5, 6)
Y = np.array([3, 1, 4, 1, 5])


class Bomb:
    """Fails the test if anybody unpickles it."""

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
        return pytest.fail, ("a pickle was loaded",)


def npz_bytes(save: Callable[..., None] = np.savez, **arrays: AnyArray) -> bytes:
    stream = io.BytesIO()
    save(stream, **arrays)
    return stream.getvalue()


def npy_bytes(array: AnyArray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=True)
    return stream.getvalue()


def npy_header(shape: str, descr: str = "'<f4'") -> bytes:
    text = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}"
    text += " " * (118 - len(text) - 1) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode("latin1")


def idx_gz_bytes() -> bytes:
    return gzip.compress(struct.pack(">HBB2I", 0, 0x0D, 2, 5, 6) + X.astype(">f4").tobytes(), mtime=0)


def hdf5_bytes() -> bytes:
    stream = io.BytesIO()
    with h5py.File(stream, "w") as file:
        file["x"], file["y"] = X, Y
    return stream.getvalue()


def read_or_refuse(path: Path, content: bytes) -> Dataset | None:
    path.write_bytes(content)
    try:
        return read_data(path)
    except InputError:
        return None


def truncations(content: bytes) -> Iterator[bytes]:
    for length in {*range(0, len(content), max(1, len(content) // 150)), len(content) - 1}:
        yield content[:length]


def flips(content: bytes, most: int) -> Iterator[bytes]:
    bits = len(content) * 8
    for bit in range(0, bits, max(1, bits // most)):
        changed = bytearray(content)
        changed[bit // 8] ^= 1 << bit % 8
        yield bytes(changed)


@pytest.mark.parametrize(
    "content",
    [npz_bytes(x=X, y=Y), npz_bytes(np.savez_compressed, x=X, y=Y), npy_bytes(X), hdf5_bytes(), idx_gz_bytes()],
    ids=["npz", "packed npz", "npy", "hdf5", "idx.gz"],
)
def test_truncated_at_many_lengths(tmp_path: Path, content: bytes) -> None:
    for short in truncations(content):
        (tmp_path / "d").write_bytes(short)
        with pytest.raises(DamagedFileError, match=r"is damaged|not a data file"):
            read_data(tmp_path / "d")


@pytest.mark.parametrize(
    "content",
    [npz_bytes(x=X, y=Y), npz_bytes(np.savez_compressed, x=X, y=Y), idx_gz_bytes()],
    ids=["npz", "packed npz", "idx.gz"],
)
def test_a_flipped_bit_is_found_by_the_checksum(tmp_path: Path, content: bytes) -> None:
    refused = 0
    for changed in flips(content, 1500):
        data = read_or_refuse(tmp_path / "d", changed)
        if data is None:
            refused += 1
            continue
        np.testing.assert_array_equal(data.inputs, X)
        if data.labels is not None:
            np.testing.assert_array_equal(data.labels, Y)
    assert refused > 300


def test_a_flipped_bit_in_an_npy_header(tmp_path: Path) -> None:
    content = npy_bytes(X)
    header = len(content) - X.nbytes
    refused = 0
    for changed in flips(content[:header], header * 8):
        data = read_or_refuse(tmp_path / "d", changed + content[header:])
        refused += data is None
        assert data is None or data.inputs.nbytes == X.nbytes  # the format has no checksum: a dtype may change
    assert refused > 300


@pytest.mark.parametrize("wrap", [npy_bytes, lambda array: npz_bytes(x=array, y=Y)], ids=["npy", "npz"])
def test_object_arrays_are_never_unpickled(tmp_path: Path, wrap: Callable[[AnyArray], bytes]) -> None:
    (tmp_path / "d").write_bytes(wrap(np.array([Bomb()] * 5, dtype=object)))
    with pytest.raises(UnsupportedError, match=r"pickle can read; that can run code, so it is refused\nSave it as"):
        read_data(tmp_path / "d")


def test_a_pickle_is_never_opened(tmp_path: Path) -> None:
    (tmp_path / "d").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(DamagedFileError, match="a Python pickle, which can run code and is never opened"):
        read_data(tmp_path / "d")


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ("(5, 60000000000000)", "header claims 1200000000000000 bytes of values, it holds 120"),
        ("(-5, 6)", "claims the shape"),
        ("(-5, -6)", "claims the shape"),
        ("(5, 7)", "header claims 140 bytes"),
        ("(5, 5)", "header claims 100 bytes"),
        ("5", "not a readable NPY file"),
        ("(5, 6.0)", "not a readable NPY file"),
        ("((((((5, 6)", "not a readable NPY file"),
        ("(5, 6" + " " * 9 + "'", "not a readable NPY file"),
    ],
)
def test_npy_headers_that_lie(tmp_path: Path, shape: str, message: str) -> None:
    (tmp_path / "d").write_bytes(npy_header(shape) + X.tobytes())
    with pytest.raises(DamagedFileError, match=message):
        read_data(tmp_path / "d")
    with zipfile.ZipFile(tmp_path / "z", "w") as archive:
        archive.writestr("x.npy", npy_header(shape) + X.tobytes())
    with pytest.raises(DamagedFileError, match=r"is damaged: .*(claims|not a readable)"):
        read_data(tmp_path / "z")


def test_npy_header_of_python_2_is_sound(tmp_path: Path) -> None:
    (tmp_path / "d").write_bytes(npy_header("(5L, 6L)") + X.tobytes())
    np.testing.assert_array_equal(read_data(tmp_path / "d").inputs, X)


def test_huge_empty_shape(tmp_path: Path) -> None:
    (tmp_path / "d").write_bytes(npy_header("(0, 1000000000000000000000)"))
    with pytest.raises(DamagedFileError, match="not a readable NPY file"):
        read_data(tmp_path / "d")


def test_npz_member_that_declares_more_than_it_can_hold(tmp_path: Path) -> None:
    content = bytearray(npz_bytes(np.savez_compressed, x=X, y=Y))
    entry = content.index(b"PK\x01\x02")
    content[entry + 24 : entry + 28] = struct.pack("<I", 2**31)
    (tmp_path / "d").write_bytes(content)
    with pytest.raises(DamagedFileError, match=r"claims 2147483648 bytes, but only \d+ bytes are stored"):
        read_data(tmp_path / "d")


def test_npz_bomb_stops_at_the_limit(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "d", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", npy_header("(1000000, 4)") + bytes(16_000_000))
    assert (tmp_path / "d").stat().st_size < 20_000
    with pytest.raises(InputError, match="claims 16000128 bytes, more than the limit of 1000000"):
        read_data(tmp_path / "d", limit_bytes=1_000_000)
    assert read_data(tmp_path / "d").inputs.shape == (1000000, 4)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_npz_with_other_compression(tmp_path: Path, method: int) -> None:
    with zipfile.ZipFile(tmp_path / "d", "w", method) as archive:
        archive.writestr("x.npy", npy_bytes(X))
    with pytest.raises(UnsupportedError, match=f"zip method {method}; allowed are stored and deflated"):
        read_data(tmp_path / "d")


def test_npz_with_a_name_twice_or_encrypted(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "d", "w") as archive:
        archive.writestr("x.npy", npy_bytes(X))
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("x.npy", npy_bytes(X + 1))
    with pytest.raises(DamagedFileError, match="two members of the same name"):
        read_data(tmp_path / "d")
    content = bytearray(npz_bytes(x=X))
    content[6] |= 1
    content[content.index(b"PK\x01\x02") + 8] |= 1
    (tmp_path / "e").write_bytes(content)
    with pytest.raises(DamagedFileError, match="encrypted"):
        read_data(tmp_path / "e")


def test_gzipped_idx_that_claims_more_than_it_can_hold(tmp_path: Path) -> None:
    (tmp_path / "d").write_bytes(gzip.compress(struct.pack(">HBB2I", 0, 8, 2, 2**15, 2**15) + b"1"))
    with pytest.raises(DamagedFileError, match=r"claims 1073741824 bytes, but only \d+ bytes are stored"):
        read_data(tmp_path / "d")
    with pytest.raises(InputError, match="more than the limit of 1000"):
        read_data(tmp_path / "d", limit_bytes=1000)


def hdf5_with(path: Path, build: Callable[[h5py.File], None]) -> None:
    with h5py.File(path, "w") as file:
        build(file)


@pytest.mark.parametrize("key", [None, "x", "group/x"])
@pytest.mark.parametrize("kind", ["SoftLink", "ExternalLink"])
def test_hdf5_links_are_not_followed(tmp_path: Path, kind: str, key: str | None) -> None:
    hdf5_with(tmp_path / "other", lambda file: file.create_dataset("x", data=X))

    def build(file: h5py.File) -> None:
        file["real"], file["y"] = X, Y
        for name in ("x", "group/x") if key != "group/x" else ("group",):
            file[name] = h5py.SoftLink("/real") if kind == "SoftLink" else h5py.ExternalLink("other", "/x")

    hdf5_with(tmp_path / "d", build)
    with pytest.raises(UnsupportedError, match=f"is a {kind}, which may lead to another file; refused"):
        read_data(tmp_path / "d", x_key=key)


def test_hdf5_external_storage(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(X.tobytes())

    def build(file: h5py.File) -> None:
        file.create_dataset("x", (5, 6), "f4", external=[(str(tmp_path / "secret"), 0, X.nbytes)])

    hdf5_with(tmp_path / "d", build)
    with pytest.raises(UnsupportedError, match="keeps its values in other files"):
        read_data(tmp_path / "d")


def test_hdf5_virtual_dataset(tmp_path: Path) -> None:
    hdf5_with(tmp_path / "other", lambda file: file.create_dataset("x", data=X))
    layout = h5py.VirtualLayout((5, 6), "f4")
    layout[:] = h5py.VirtualSource(str(tmp_path / "other"), "x", (5, 6))
    hdf5_with(tmp_path / "d", lambda file: file.create_virtual_dataset("x", layout))
    with pytest.raises(UnsupportedError, match="is a virtual dataset"):
        read_data(tmp_path / "d")


def test_hdf5_filters_that_are_not_plain(tmp_path: Path) -> None:
    hdf5_with(tmp_path / "d", lambda file: file.create_dataset("x", data=X, compression="lzf"))
    with pytest.raises(UnsupportedError, match=r"HDF5 filter 32000; allowed are gzip.*\n.*compression='gzip'"):
        read_data(tmp_path / "d")
    twice = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    twice.set_chunk((5, 6))
    twice.set_deflate(4)
    twice.set_deflate(4)

    def build(file: h5py.File) -> None:
        h5py.h5d.create(file.id, b"x", h5py.h5t.NATIVE_FLOAT, h5py.h5s.create_simple((5, 6)), twice)
        file["x"][...] = X

    hdf5_with(tmp_path / "t", build)
    with pytest.raises(UnsupportedError, match="is compressed more than once"):
        read_data(tmp_path / "t")


@pytest.mark.parametrize("options", [{}, {"chunks": (64, 64)}, {"chunks": (64, 64), "compression": "gzip"}])
def test_hdf5_sizes_that_are_claimed_but_not_stored(tmp_path: Path, options: dict[str, object]) -> None:
    hdf5_with(tmp_path / "d", lambda file: file.create_dataset("x", (2**20, 2**20), "f4", **options))
    with pytest.raises(InputError, match="claims 4398046511104 bytes, more than the limit"):
        read_data(tmp_path / "d")
    hdf5_with(tmp_path / "s", lambda file: file.create_dataset("x", (2**12, 2**12), "f4", **options))
    with pytest.raises(DamagedFileError, match="claims 67108864 bytes, but only 0 bytes are stored"):
        read_data(tmp_path / "s")


def test_hdf5_chunk_larger_than_its_dataset(tmp_path: Path) -> None:
    def build(file: h5py.File) -> None:
        file.create_dataset("x", data=X, chunks=(2000, 2000), maxshape=(None, None), compression="gzip")

    hdf5_with(tmp_path / "d", build)
    with pytest.raises(InputError, match="claims 16000000 bytes, more than the limit of 1000000"):
        read_data(tmp_path / "d", limit_bytes=1_000_000)
    np.testing.assert_array_equal(read_data(tmp_path / "d").inputs, X)


def test_hdf5_texts_empty_dataspaces_and_circles(tmp_path: Path) -> None:
    hdf5_with(tmp_path / "t", lambda file: file.create_dataset("x", data=["a", "b"]))
    with pytest.raises(UnsupportedError, match="holds Python objects"):
        read_data(tmp_path / "t")
    hdf5_with(tmp_path / "e", lambda file: file.create_dataset("x", data=h5py.Empty("f4")))
    with pytest.raises(UnsupportedError, match="has no values"):
        read_data(tmp_path / "e")

    def build(file: h5py.File) -> None:
        file["a/b"], file["a/self"], file["type"] = X, file["/"], np.dtype("f4")

    hdf5_with(tmp_path / "c", build)
    np.testing.assert_array_equal(read_data(tmp_path / "c", x_key="a/self/a/b").inputs, X)
    with pytest.raises(InputError, match="has no array 'type'"):
        read_data(tmp_path / "c", x_key="type")


def test_names_cannot_write_to_the_terminal(tmp_path: Path) -> None:
    (tmp_path / "d").write_bytes(npz_bytes(np.savez, **{"\x1b[31m": X, "b": Y}))
    with pytest.raises(InputError, match=r"it has '\\x1b\[31m'"):
        read_data(tmp_path / "d")
