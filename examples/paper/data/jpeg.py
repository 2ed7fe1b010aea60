"""CIFAR-10 as JPEG files that were put one behind the other into an `.npz` file: a tenth of the size.

For `train` and for `test`: the bytes `*_jpeg`, the length of each file `*_len`, the labels `y_*`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bprune.arrays import AnyArray
from bprune.errors import DamagedFileError
from bprune.inference.data import LIMIT_BYTES
from bprune.inference.data.npz import read_array
from examples.paper.data.images import Images

__all__ = ["KEYS", "SIDE", "read"]

KEYS = ("train_jpeg", "train_len", "y_train", "test_jpeg", "test_len", "y_test")
SIDE = 32


def read(path: Path) -> Images:
    """Decode all pictures on all cores.

    Raises:
        DamagedFileError: If an array cannot be read, or a file in it is no JPEG of 32 x 32 pixels in colour.
        InputError: If one is missing, or they are not pictures and labels.
    """
    arrays = {key: read_array(path, key, limit_bytes=LIMIT_BYTES) for key in KEYS}
    pictures = [_decode(arrays[f"{part}_jpeg"], arrays[f"{part}_len"], f"{path}, {part}") for part in ("train", "test")]
    return Images(str(path), pictures[0], arrays["y_train"], pictures[1], arrays["y_test"])


def _decode(content: AnyArray, lengths: AnyArray, where: str) -> AnyArray:
    """The pictures, `[example, row, column, channel]`, uint8."""
    import tensorflow as tf

    ends = np.cumsum(lengths, dtype=np.int64)
    if content.dtype != np.uint8 or content.ndim != 1 or lengths.ndim != 1 or not ends.size or ends[-1] != content.size:
        raise DamagedFileError(
            f"{where}: {content.dtype} {content.shape} is not the content of the {lengths.size} files listed"
        )
    joined = content.tobytes()
    files = [joined[end - length : end] for end, length in zip(ends.tolist(), lengths.tolist(), strict=True)]
    data = tf.data.Dataset.from_tensor_slices(files)
    data = data.map(lambda item: tf.io.decode_jpeg(item, channels=3), num_parallel_calls=tf.data.AUTOTUNE)
    data = data.map(lambda picture: tf.ensure_shape(picture, [SIDE, SIDE, 3])).batch(1000)
    try:
        return np.concatenate(list(data.as_numpy_iterator()))
    except tf.errors.InvalidArgumentError as error:
        reason = error.message.splitlines()[0].rsplit(": ", 1)[-1]
        raise DamagedFileError(f"{where}: a picture is no JPEG of {SIDE} x {SIDE} pixels ({reason})") from None
