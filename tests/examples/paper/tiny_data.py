"""Small files in every form that the readers of `examples/paper` take, all with the same kind of pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bprune.arrays import AnyArray

__all__ = ["LABELS", "digits", "pictures", "write_binary", "write_jpeg", "write_npz"]

TRAIN, TEST = 10, 4
LABELS = np.array([3, 1, 4, 1, 5, 9, 2, 6, 5, 0], np.uint8)


def digits(count: int = TRAIN, seed: int = 0) -> AnyArray:
    """`[example, 28, 28]`, uint8: a bright bar on the right, brighter from picture to picture, and noise."""
    values = np.random.default_rng(seed).integers(0, 40, (count, 28, 28))
    values[:, 8:20, 16:18] += 20 + 190 * np.arange(count)[:, None, None] // max(1, count)
    return values.astype(np.uint8)


def pictures(count: int = TRAIN, seed: int = 0) -> AnyArray:
    """`[example, 32, 32, 3]`, uint8: smooth, and with no symmetry of rows, columns or channels."""
    rows, columns = np.indices((32, 32)) / 31.0
    base = np.stack([200 * rows, 150 * columns, 90 * rows * columns], axis=-1)
    levels = np.linspace(0.3, 1.0, count) + 0.01 * seed
    return np.rint(base * levels[:, None, None, None]).astype(np.uint8)


def write_npz(path: Path, *, colour: bool = False, train: int = TRAIN, test: int = TEST) -> Path:
    """An `.npz` with the keys of Keras."""
    make = pictures if colour else digits
    labels = np.resize(LABELS, train), np.resize(LABELS, test)
    shaped = [item[:, None] if colour else item for item in labels]  # CIFAR-10's labels are a column
    np.savez(path, x_train=make(train), y_train=shaped[0], x_test=make(test, 1), y_test=shaped[1])
    return path


def write_binary(folder: Path) -> Path:
    """The six files of CIFAR-10's binary version, two records in each; the test file has four."""
    folder.mkdir()
    train, test = _records(pictures(), LABELS), _records(pictures(TEST, 1), LABELS[:TEST])
    for number in range(5):
        train[2 * number : 2 * number + 2].tofile(folder / f"data_batch_{number + 1}.bin")
    test.tofile(folder / "test_batch.bin")
    return folder


def _records(values: AnyArray, labels: AnyArray) -> AnyArray:
    planes = values.transpose(0, 3, 1, 2).reshape(len(values), -1)
    return np.concatenate([labels[:, None], planes], axis=1)


def write_jpeg(path: Path) -> Path:
    """JPEG files behind each other."""
    import tensorflow as tf

    arrays: dict[str, AnyArray] = {}
    for part, count in (("train", TRAIN), ("test", TEST)):
        files = [tf.io.encode_jpeg(item, quality=100).numpy() for item in pictures(count, int(part == "test"))]
        arrays[f"{part}_jpeg"] = np.frombuffer(b"".join(files), np.uint8)
        arrays[f"{part}_len"] = np.array([len(item) for item in files], np.uint16)
        arrays[f"y_{part}"] = LABELS[:count]
    np.savez(path, **arrays)  # type: ignore[arg-type]
    return path
