"""Every form of data gives the same pictures; what is not such data is refused; batches hold every example once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bprune.errors import BPruneError, DamagedFileError, InputError, MissingFileError
from examples.paper.data import Images, batches, load, ordered_batches, pixels
from tests.examples.paper.tiny_data import LABELS, digits, pictures, write_binary, write_jpeg, write_npz

COLOUR, GREY = (32, 32, 3), (28, 28, 1)


def test_npz_of_digits(tmp_path: Path) -> None:
    images = load(str(write_npz(tmp_path / "mnist.npz")), GREY)
    np.testing.assert_array_equal(images.x_train[..., 0], digits())
    np.testing.assert_array_equal(images.x_test[..., 0], digits(4, 1))
    np.testing.assert_array_equal(images.y_train, LABELS)
    assert images.y_test.tolist() == [3, 1, 4, 1]


@pytest.mark.parametrize("form", ["npz", "binary", "jpeg"])
def test_every_form_of_cifar_is_the_same(form: str, tmp_path: Path) -> None:
    path = tmp_path / "cifar"
    if form == "npz":
        path = write_npz(tmp_path / "cifar.npz", colour=True)
    elif form == "binary":
        write_binary(path)
    else:
        path = write_jpeg(tmp_path / "cifar.npz")
    images = load(str(path), COLOUR)
    loss = 12 if form == "jpeg" else 0  # of colour, which JPEG keeps at half the resolution
    for found, expected in ((images.x_train, pictures()), (images.x_test, pictures(4, 1))):
        assert found.shape == expected.shape
        assert found.dtype == np.uint8
        assert np.max(np.abs(found.astype(int) - expected)) <= loss
    np.testing.assert_array_equal(images.y_train, LABELS)
    np.testing.assert_array_equal(images.y_test, LABELS[:4])


def test_download_goes_by_size(monkeypatch: pytest.MonkeyPatch) -> None:
    import tf_keras

    def fake(data: Any) -> Any:
        return lambda: ((data(), LABELS[:, None]), (data(4), LABELS[:4, None]))

    monkeypatch.setattr(tf_keras.datasets.mnist, "load_data", fake(digits))
    monkeypatch.setattr(tf_keras.datasets.cifar10, "load_data", fake(pictures))
    assert (load("keras", GREY).source, load("keras", COLOUR).source) == ("mnist", "cifar10")
    np.testing.assert_array_equal(load("keras", COLOUR).x_train, pictures())


def test_a_failed_download_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    import tf_keras

    def offline() -> None:
        raise Exception("URL fetch failure on https://example.org: None -- no route")  # as Keras does

    monkeypatch.setattr(tf_keras.datasets.mnist, "load_data", offline)
    with pytest.raises(InputError, match=r"mnist could not be downloaded: URL fetch.*\nWithout internet pass a file"):
        load("keras", GREY)


def _short_record(folder: Path) -> Path:
    write_binary(folder)
    (folder / "test_batch.bin").write_bytes(b"\1" * 3072)
    return folder


def _bad_label(folder: Path) -> Path:
    write_binary(folder)
    (folder / "data_batch_2.bin").write_bytes(b"\x0a" * 3073)
    return folder


def _missing_batch(folder: Path) -> Path:
    (write_binary(folder) / "data_batch_3.bin").unlink()
    return folder


def _altered(path: Path, **changes: Any) -> Path:
    with np.load(write_npz(path), allow_pickle=False) as file:
        np.savez(path, **{**dict(file), **changes})
    return path


def _altered_jpeg(path: Path, *, damaged: int = 0, **changes: Any) -> Path:
    with np.load(write_jpeg(path), allow_pickle=False) as file:
        arrays = dict(file)
    arrays["train_jpeg"][:damaged] = 0
    np.savez(path, **{**arrays, **changes})
    return path


def _foreign(path: Path) -> Path:
    np.savez(path, a=np.zeros(3))
    return path


def _text(path: Path) -> Path:
    path.write_text("no archive")
    return path


@pytest.mark.parametrize(
    ("make", "name", "error", "message"),
    [
        (lambda path: path, "nothing", MissingFileError, "does not exist"),
        (_missing_batch, "cifar", MissingFileError, r"data_batch_3.bin is not there\nUnpack cifar-10-binary.tar.gz"),
        (_short_record, "cifar", DamagedFileError, "3072 bytes are not records of 3073 bytes"),
        (_bad_label, "cifar", InputError, r"labels from \d to 10; allowed are 0 to 9"),
        (write_npz, "mnist.npz", InputError, r"28 x 28 pixels and 1 channel; this network takes 32 x 32"),
        (
            lambda path: _altered(path, x_test=np.zeros((4, 28, 28))),
            "f.npz",
            InputError,
            "float64 .* allowed are uint8",
        ),
        (lambda path: _altered(path, y_train=LABELS[:9]), "s.npz", InputError, "an integer for each of 10 pictures"),
        (lambda path: _altered(path, x_test=digits(4)[:, 1:]), "z.npz", InputError, "they must have one size"),
        (lambda path: _altered(path, x_test=np.array([{}])), "o.npz", BPruneError, "only pickle can read"),
        (
            lambda path: _altered_jpeg(path, damaged=100),
            "damaged.npz",
            DamagedFileError,
            r"train: a picture is no JPEG of 32 x 32 pixels \(Unknown image file format",
        ),
        (
            lambda path: _altered_jpeg(path, test_len=LABELS),
            "len.npz",
            DamagedFileError,
            "is not the content of the 10",
        ),
        (_foreign, "foreign.npz", InputError, "holds a; needed are x_train, y_train, x_test, y_test, or train_jpeg"),
        (_text, "text.npz", DamagedFileError, "is damaged: not a readable NPZ archive"),
    ],
)
def test_what_is_no_such_data_is_refused(make: Any, name: str, error: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(error, match=message):
        load(str(make(tmp_path / name)), COLOUR)


def images_with_numbers(count: int) -> tuple[Any, Any]:
    """Pictures whose first pixel is their number."""
    values = pictures(count)
    values[:, 0, 0, 0] = np.arange(count)
    return values, np.arange(count) % 10


def numbers(data: Any) -> list[int]:
    return [round(255 * float(item)) for x, _ in data.as_numpy_iterator() for item in x[:, 0, 0, 0]]


def test_an_epoch_has_every_example_of_the_shard_once_in_another_order_each_time() -> None:
    images, labels = images_with_numbers(31)

    def make(seed: int) -> Any:
        return batches(images, labels, batch=5, shape=COLOUR, seed=seed, shard=1, shards=2)

    data = make(7)
    assert int(data.cardinality()) == 3
    first, second, again, other = numbers(data), numbers(data), numbers(make(7)), numbers(make(8))
    assert sorted(first) == sorted(second) == list(range(1, 31, 2))
    assert first != second
    assert first != other
    assert first == again
    for x, y in data.as_numpy_iterator():
        assert x.dtype == np.float32
        assert x.shape == (5, *COLOUR)
        for picture, label in zip(x, y, strict=True):
            number = round(255 * float(picture[0, 0, 0]))
            np.testing.assert_allclose(picture, images[number] / 255.0, atol=1e-6)
            assert label == number % 10


def test_ordered_batches_are_all_examples_in_their_order() -> None:
    images, labels = digits(7)[..., None], np.arange(7)
    found = list(ordered_batches(images, labels, batch=3, shape=(784,)).as_numpy_iterator())
    assert [len(x) for x, _ in found] == [3, 3, 1]
    np.testing.assert_array_equal(np.concatenate([x for x, _ in found]), pixels(images, (784,)))
    np.testing.assert_array_equal(np.concatenate([y for _, y in found]), labels)


def shift_of(picture: Any, original: Any) -> tuple[int, int, bool]:
    """The shift and the mirroring that make the augmented picture out of the original one."""
    padded = np.pad(original, [(4, 4), (4, 4), (0, 0)])
    for top in range(9):
        for left in range(9):
            cut = padded[top : top + 32, left : left + 32]
            for mirrored, candidate in ((False, cut), (True, cut[:, ::-1])):
                if np.array_equal(candidate, picture):
                    return top, left, mirrored
    raise AssertionError("no shift gives this picture")


def test_augmented_pictures_are_shifted_and_mirrored_originals() -> None:
    """40 pictures: a shift or mirroring that never occurs is missed with a probability below 1e-9 (81 shifts), and a
    row shift in each direction fails to occur with one of 2 * (5/9)^40 < 1e-9."""
    images, labels = pictures(40), np.arange(40) % 10
    images[:, :, :, 2] = np.arange(1, 41)[:, None, None]  # tells which picture it was
    data = batches(images, labels, batch=20, shape=COLOUR, seed=3, augment=True)
    rounds = [np.rint(255 * np.concatenate([x for x, _ in data.as_numpy_iterator()])).astype(np.uint8) for _ in "ab"]
    found = [shift_of(item, images[item[16, 16, 2] - 1]) for item in rounds[0]]
    assert {mirrored for _, _, mirrored in found} == {False, True}
    for axis in (0, 1):
        shifts = [item[axis] for item in found]
        assert min(shifts) < 4 < max(shifts)
    assert not np.array_equal(*rounds)


@pytest.mark.shared_data
def test_the_shared_data_is_read(shared_data: Path) -> None:
    images = load(str(shared_data / "mnist.npz"), GREY)
    assert isinstance(images, Images)
    assert (images.x_train.shape, images.x_test.shape) == ((60_000, 28, 28, 1), (10_000, 28, 28, 1))
