"""Reading: every format gives the arrays that were saved, and every refusal says what was found."""

from __future__ import annotations

import gzip
import os
import stat
import struct
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from bprune.arrays import AnyArray
from bprune.errors import DamagedFileError, InputError, MissingFileError, UnsupportedError, UsageError
from bprune.inference.data import Dataset, first_examples, read_data
from bprune.inference.data.keys import PAIRS

X = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4)
Y = np.array([7, 1], dtype=np.int64)
IDX_CODES = {"u1": 0x08, "i1": 0x09, ">i2": 0x0B, ">i4": 0x0C, ">f4": 0x0D, ">f8": 0x0E}

Writer = Callable[..., None]


def idx_bytes(array: AnyArray, dtype: str = "u1") -> bytes:
    head = struct.pack(f">HBB{array.ndim}I", 0, IDX_CODES[dtype], array.ndim, *array.shape)
    return head + array.astype(dtype).tobytes()


def write_npz(path: Path, **arrays: AnyArray) -> None:
    with open(path, "wb") as stream:
        np.savez(stream, **arrays)  # type: ignore[arg-type]


def write_packed_npz(path: Path, **arrays: AnyArray) -> None:
    with open(path, "wb") as stream:
        np.savez_compressed(stream, **arrays)  # type: ignore[arg-type]


def write_hdf5(path: Path, **arrays: AnyArray) -> None:
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            file[name] = array


def write_packed_hdf5(path: Path, **arrays: AnyArray) -> None:
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, array in arrays.items():
            if np.ndim(array):
                file.create_dataset(name, data=array, compression="gzip", shuffle=True, fletcher32=True)
            else:  # HDF5 packs no single numbers
                file[name] = array


def write_npy(path: Path, array: AnyArray) -> None:
    with open(path, "wb") as stream:
        np.save(stream, array)


KEYED_WRITERS = pytest.mark.parametrize("write", [write_npz, write_packed_npz, write_hdf5, write_packed_hdf5])


def assert_same(data: Dataset, x: AnyArray = X, y: AnyArray | None = Y) -> None:
    assert data.inputs.dtype == x.dtype
    assert data.inputs.dtype.isnative
    np.testing.assert_array_equal(data.inputs, x)
    if y is None:
        assert data.labels is None
    else:
        np.testing.assert_array_equal(data.labels, y)


@KEYED_WRITERS
@pytest.mark.parametrize("pair", PAIRS)
def test_known_pairs_are_found_in_files_without_a_suffix(tmp_path: Path, write: Writer, pair: tuple[str, str]) -> None:
    path = tmp_path / "heldout"
    write(path, **{pair[1]: Y, pair[0]: X})
    data = read_data(path)
    assert_same(data)
    assert data.source == str(path)
    assert data.notes == (f"inputs from '{pair[0]}', labels from '{pair[1]}'",)


@KEYED_WRITERS
def test_the_test_part_is_used_and_the_training_part_named(tmp_path: Path, write: Writer) -> None:
    write(tmp_path / "d", x_train=X[:1], y_train=Y[:1], x_test=X, y_test=Y)
    data = read_data(tmp_path / "d")
    assert_same(data)
    assert "the training part 'x_train' was left out" in data.notes


@KEYED_WRITERS
def test_the_training_part_alone_is_not_held_out_data(tmp_path: Path, write: Writer) -> None:
    write(tmp_path / "d", x_train=X, y_train=Y)
    with pytest.raises(InputError, match=r"it has 'x_train', 'y_train'\nName them with --x-key and --y-key"):
        read_data(tmp_path / "d")
    assert_same(read_data(tmp_path / "d", x_key="x_train"))


@KEYED_WRITERS
def test_pairs_have_an_order_and_the_other_is_named(tmp_path: Path, write: Writer) -> None:
    write(tmp_path / "d", x_test=X[:1], y_test=Y[:1], x=X, y=Y)
    data = read_data(tmp_path / "d")
    assert_same(data)
    assert "not used: 'x_test', 'y_test'" in data.notes


@KEYED_WRITERS
def test_own_keys_need_no_note(tmp_path: Path, write: Writer) -> None:
    write(tmp_path / "d", pixels=X, digit=Y, x=X[:1], y=Y[:1])
    data = read_data(tmp_path / "d", x_key="pixels", y_key="digit")
    assert_same(data)
    assert data.notes == ()


@KEYED_WRITERS
def test_one_own_key_finds_its_partner(tmp_path: Path, write: Writer) -> None:
    write(tmp_path / "d", x=X[:1], y=Y[:1], images=X, labels=Y)
    assert_same(read_data(tmp_path / "d", x_key="images"))
    assert_same(read_data(tmp_path / "d", y_key="labels"))


@KEYED_WRITERS
def test_inputs_without_labels(tmp_path: Path, write: Writer) -> None:
    write(tmp_path / "one", whatever=X)
    assert_same(read_data(tmp_path / "one"), y=None)
    write(tmp_path / "lone", x=X, weights=Y)
    data = read_data(tmp_path / "lone")
    assert_same(data, y=None)
    assert data.notes == ("inputs from 'x', no labels found", "not used: 'weights'")


@KEYED_WRITERS
@pytest.mark.parametrize("names", [("a", "b"), ("y",), ("labels",)])
def test_unknown_names_are_listed(tmp_path: Path, write: Writer, names: tuple[str, ...]) -> None:
    write(tmp_path / "d", **dict.fromkeys(names, X))
    with pytest.raises(InputError, match=f"it has '{names[0]}'.*\n.*--x-key"):
        read_data(tmp_path / "d")


@KEYED_WRITERS
def test_no_arrays_and_too_many(tmp_path: Path, write: Writer) -> None:
    write(tmp_path / "none")
    with pytest.raises(InputError, match="it has no arrays"):
        read_data(tmp_path / "none")
    write(tmp_path / "many", **{f"a{number}": Y for number in range(30)})
    with pytest.raises(InputError, match="and 10 more"):
        read_data(tmp_path / "many")


@KEYED_WRITERS
def test_a_wrong_key_gets_a_suggestion(tmp_path: Path, write: Writer) -> None:
    write(tmp_path / "d", images=X, labels=Y)
    with pytest.raises(InputError, match="has no array 'image'; it has 'images', 'labels'\nDid you mean 'images'"):
        read_data(tmp_path / "d", x_key="image")
    with pytest.raises(InputError, match=r"has no array 'qqq'.*\nName the arrays with --x-key"):
        read_data(tmp_path / "d", y_key="qqq")


@KEYED_WRITERS
def test_different_lengths(tmp_path: Path, write: Writer) -> None:
    write(tmp_path / "d", x=X, y=np.arange(3))
    with pytest.raises(InputError, match=r"2 inputs but 3 labels(.|\n)*same split"):
        read_data(tmp_path / "d")


@KEYED_WRITERS
def test_a_single_number_has_no_example_axis(tmp_path: Path, write: Writer) -> None:
    write(tmp_path / "d", x=np.float32(3), y=Y)
    with pytest.raises(InputError, match="inputs are a single number"):
        read_data(tmp_path / "d")


@KEYED_WRITERS
def test_integer_columns_of_labels_are_squeezed(tmp_path: Path, write: Writer) -> None:
    write(tmp_path / "i", x=X, y=Y[:, None])
    data = read_data(tmp_path / "i")
    assert_same(data)
    assert "labels reshaped from [2, 1] to [2]" in data.notes
    write(tmp_path / "f", x=X, y=Y[:, None] / 2)
    assert_same(read_data(tmp_path / "f"), y=Y[:, None] / 2)


@KEYED_WRITERS
@pytest.mark.parametrize("dtype", ["?", "i1", "u2", ">i4", "u8", "f2", ">f4", "f8"])
def test_numeric_dtypes_and_empty_arrays(tmp_path: Path, write: Writer, dtype: str) -> None:
    x = (X % 2).astype(dtype)
    write(tmp_path / "d", x=x, y=Y)
    assert_same(read_data(tmp_path / "d"), x.astype(x.dtype.newbyteorder("=")))
    write(tmp_path / "e", x=x[:0], y=Y[:0])
    assert read_data(tmp_path / "e").inputs.shape == (0, 3, 4)


@KEYED_WRITERS
@pytest.mark.parametrize("values", [np.ones(2, "c8"), np.ones(2, [("a", "f4")]), np.array([b"a", b"b"])])
def test_other_dtypes_are_refused(tmp_path: Path, write: Writer, values: AnyArray) -> None:
    write(tmp_path / "d", x=values, y=Y)
    with pytest.raises(UnsupportedError, match="allowed are bool, integers and floats"):
        read_data(tmp_path / "d")


@KEYED_WRITERS
def test_the_limit_holds_before_reading(tmp_path: Path, write: Writer) -> None:
    write(tmp_path / "d", x=np.zeros((100, 10)), y=np.zeros(100))
    with pytest.raises(InputError, match="bytes, more than the limit of 7999"):
        read_data(tmp_path / "d", limit_bytes=7999)


def test_labels_from_a_second_file_go_before_those_in_the_first(tmp_path: Path) -> None:
    write_npz(tmp_path / "x", x=X, y=np.array([0, 0]))
    write_npy(tmp_path / "y", Y)
    data = read_data(tmp_path / "x", labels=tmp_path / "y")
    assert_same(data)
    assert data.notes == ("inputs from 'x'", f"labels from {tmp_path / 'y'}")


def test_labels_files_with_names(tmp_path: Path) -> None:
    write_npy(tmp_path / "x", X)
    write_npz(tmp_path / "one", anything=Y)
    write_hdf5(tmp_path / "two", a=Y, y_test=Y, b=X)
    write_hdf5(tmp_path / "open", a=Y, b=Y)
    assert_same(read_data(tmp_path / "x", labels=tmp_path / "one"))
    assert_same(read_data(tmp_path / "x", labels=tmp_path / "two"))
    assert_same(read_data(tmp_path / "x", labels=tmp_path / "open", y_key="b"))
    with pytest.raises(InputError, match="no array with a known name for labels; it has 'a', 'b'\nName it with"):
        read_data(tmp_path / "x", labels=tmp_path / "open")
    with pytest.raises(MissingFileError, match="none does not exist"):
        read_data(tmp_path / "x", labels=tmp_path / "none")


def test_npy_is_mapped(tmp_path: Path) -> None:
    write_npy(tmp_path / "x", X)
    write_npy(tmp_path / "y", Y)
    data = read_data(tmp_path / "x", labels=tmp_path / "y", limit_bytes=1)
    assert_same(data)
    assert isinstance(data.inputs.base, np.memmap)
    assert not data.inputs.flags.writeable
    assert_same(read_data(tmp_path / "x"), y=None)


def test_npy_in_column_order_other_byte_order_and_version_2(tmp_path: Path) -> None:
    write_npy(tmp_path / "f", np.asfortranarray(X))
    assert_same(read_data(tmp_path / "f"), y=None)
    write_npy(tmp_path / "b", X.astype(">f4"))
    assert_same(read_data(tmp_path / "b"), X.astype("f4"), None)
    with pytest.raises(InputError, match="more than the limit"):
        read_data(tmp_path / "b", limit_bytes=1)
    with open(tmp_path / "2", "wb") as stream:
        np.lib.format.write_array(stream, X, version=(2, 0))
    assert_same(read_data(tmp_path / "2"), y=None)
    with open(tmp_path / "3", "wb") as stream:
        np.lib.format.write_array(stream, X, version=(3, 0))
    with pytest.raises(DamagedFileError, match=r"NPY version 3\.0"):
        read_data(tmp_path / "3")


@pytest.mark.parametrize("option", ["x_key", "y_key"])
def test_keys_do_not_apply_to_a_single_array(tmp_path: Path, option: str) -> None:
    write_npy(tmp_path / "x", X)
    with pytest.raises(UsageError, match=r"-key a does not apply: .* is an NPY file"):
        read_data(tmp_path / "x", **{option: "a"})  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="-key a does not apply"):
        read_data(tmp_path / "x", labels=tmp_path / "x", **{option: "a"})  # type: ignore[arg-type]


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
@pytest.mark.parametrize("dtype", list(IDX_CODES))
def test_idx(tmp_path: Path, pack: Callable[[bytes], bytes], dtype: str) -> None:
    (tmp_path / "t10k-images-idx3-ubyte").write_bytes(pack(idx_bytes(X, dtype)))
    (tmp_path / "t10k-labels-idx1-ubyte").write_bytes(pack(idx_bytes(Y)))
    data = read_data(tmp_path / "t10k-images-idx3-ubyte", labels=tmp_path / "t10k-labels-idx1-ubyte")
    assert_same(data, X.astype(dtype[-2:]))
    (tmp_path / "none").write_bytes(pack(idx_bytes(X[:0], dtype)))
    assert read_data(tmp_path / "none").inputs.shape == (0, 3, 4)


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
@pytest.mark.parametrize("change", [b"", b"!!"])
def test_idx_of_another_length(tmp_path: Path, pack: Callable[[bytes], bytes], change: bytes) -> None:
    (tmp_path / "i").write_bytes(pack((idx_bytes(X) + change) if change else idx_bytes(X)[:-2]))
    with pytest.raises(DamagedFileError, match=r"head claims 24 bytes of values, it holds (22|26|more)"):
        read_data(tmp_path / "i")


def test_hdf5_paths(tmp_path: Path) -> None:
    arrays: dict[str, AnyArray] = {"split/test/x": X, "split/test/y": Y, "split/train/x": X[:1]}
    write_hdf5(tmp_path / "d", **arrays)
    assert_same(read_data(tmp_path / "d", x_key="/split/test/x"))
    assert_same(read_data(tmp_path / "d", x_key="split/test/x", y_key="split//test/y"))
    with pytest.raises(InputError, match="it has 'split/test/x', 'split/test/y', 'split/train/x'"):
        read_data(tmp_path / "d")
    for key in ("split", "split/test/x/y", "/"):
        with pytest.raises(InputError, match="has no array"):
            read_data(tmp_path / "d", x_key=key)


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"", "it is empty"),
        (b"\x80\x04\x95abc", "a Python pickle, which can run code"),
        (b"1,2,3\n4,5,6\n", "text that begins with '1,2,3"),
        (b"<!DOCTYPE html>", "a download that failed"),
        (b"\x89PNG\r\n\x1a\n", "a PNG image"),
        (gzip.compress(b"1,2", mtime=0), "gzip with something other"),
        (gzip.compress(idx_bytes(X), mtime=0)[:11], "gzip with something other"),
        (b"\0\0\x08\x03"[:3], "its first bytes are 00 00 08"),
        (b"\x00\xfe\x01\x02\x03\x04\x05\x06\x07", "its first bytes are 00 fe 01 02 03 04 05 06$"),
    ],
)
def test_unknown_content(tmp_path: Path, content: bytes, found: str) -> None:
    (tmp_path / "x.npz").write_bytes(content)
    with pytest.raises(DamagedFileError, match=f"(?m){found}(.|\n)*Give NPZ, NPY, HDF5 or IDX"):
        read_data(tmp_path / "x.npz")


def test_paths_that_are_no_files(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="none does not exist"):
        read_data(tmp_path / "none")
    with pytest.raises(InputError, match="is not a regular file"):
        read_data(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="is not a regular file"):
        read_data(tmp_path / "pipe")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_unreadable_file(tmp_path: Path) -> None:
    write_npy(tmp_path / "x", X)
    (tmp_path / "x").chmod(stat.S_IWUSR)
    with pytest.raises(InputError, match="cannot be read: Permission denied"):
        read_data(tmp_path / "x")


def test_first_examples() -> None:
    data = Dataset(X, Y, "here")
    assert first_examples(data, None) is data
    assert first_examples(data, 2) is data
    assert first_examples(data, 99) is data
    one = first_examples(data, 1)
    assert_same(one, X[:1], Y[:1])
    assert len(one) == 1
    assert np.shares_memory(one.inputs, X)
    assert one.notes == ("first 1 of 2 examples",)
    assert first_examples(Dataset(X, None, "here"), 1).labels is None
    with pytest.raises(UsageError, match="examples is 0; allowed is 1 or more"):
        first_examples(data, 0)


def shared_data() -> Path:
    """The data folder: what the environment names, or the one beside the repository."""
    named = os.environ.get("BPRUNE_SHARED_DATA")
    return Path(named) if named else Path(__file__).resolve().parents[3] / "shared" / "data"


@pytest.mark.shared_data
def test_mnist() -> None:
    path = shared_data() / "mnist.npz"
    if not path.is_file():
        pytest.skip(f"{path} is not there; BPRUNE_SHARED_DATA names another folder")
    data = read_data(path)
    assert data.labels is not None
    assert data.inputs.shape == (10000, 28, 28)
    assert data.inputs.dtype == np.uint8
    assert data.labels[:5].tolist() == [7, 2, 1, 0, 4]
