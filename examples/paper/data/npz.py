"""MNIST or CIFAR-10 in one `.npz` file with the keys x_train, y_train, x_test, y_test, as Keras keeps MNIST."""

from __future__ import annotations

from pathlib import Path

from bprune.inference.data import LIMIT_BYTES
from bprune.inference.data.npz import read_array
from examples.paper.data.images import Images

__all__ = ["KEYS", "read"]

KEYS = ("x_train", "y_train", "x_test", "y_test")


def read(path: Path) -> Images:
    """Read the four arrays.

    Raises:
        DamagedFileError: If an array cannot be read.
        InputError: If one is missing, or they are not pictures and labels.
    """
    return Images(str(path), *(read_array(path, key, limit_bytes=LIMIT_BYTES) for key in KEYS))
