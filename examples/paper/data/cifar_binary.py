"""The binary version of CIFAR-10: a folder with `data_batch_1.bin` to `data_batch_5.bin` and `test_batch.bin`.

A record is a label and three planes of 32 x 32 pixels, a byte each (https://www.cs.toronto.edu/~kriz/cifar.html).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bprune.arrays import AnyArray
from bprune.errors import DamagedFileError, InputError, MissingFileError
from examples.paper.data.images import Images

__all__ = ["TEST", "TRAIN", "read"]

TRAIN = tuple(f"data_batch_{number}.bin" for number in range(1, 6))
TEST = "test_batch.bin"

_PICTURE = (3, 32, 32)
_RECORD_BYTES = 1 + 3 * 32 * 32


def read(folder: Path) -> Images:
    """Read all batches.

    Raises:
        MissingFileError: If one is not there.
        DamagedFileError: If one does not consist of whole records.
        InputError: If one cannot be read, or holds a label above 9.
    """
    missing = [name for name in (*TRAIN, TEST) if not (folder / name).is_file()]
    if missing:
        raise MissingFileError(
            f"{folder} is not the binary version of CIFAR-10: {', '.join(missing)} is not there",
            hint="Unpack cifar-10-binary.tar.gz and pass its folder cifar-10-batches-bin.",
        )
    train = np.concatenate([_records(folder / name) for name in TRAIN])
    test = _records(folder / TEST)
    return Images(str(folder), _pictures(train), train[:, 0], _pictures(test), test[:, 0])


def _records(path: Path) -> AnyArray:
    try:
        content = np.fromfile(path, np.uint8)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from error
    if content.size % _RECORD_BYTES or not content.size:
        raise DamagedFileError(f"{path} is damaged: {content.size} bytes are not records of {_RECORD_BYTES} bytes")
    return content.reshape(-1, _RECORD_BYTES)


def _pictures(records: AnyArray) -> AnyArray:
    """`[example, row, column, channel]` from planes."""
    return np.ascontiguousarray(records[:, 1:].reshape(-1, *_PICTURE).transpose(0, 2, 3, 1))
