"""Pictures with labels, as all readers return them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bprune.arrays import AnyArray
from bprune.errors import InputError

__all__ = ["CLASSES", "Images", "pixels"]

CLASSES = 10


@dataclass(frozen=True, eq=False)
class Images:
    """A training set and a test set of pictures in ten classes.

    Args:
        source: Where they came from, for messages.
        x_train: `[example, row, column]` or `[example, row, column, channel]`, uint8.
        y_train: `[example]` or `[example, 1]`, integers from 0 to 9.
        x_test: Pictures for testing, of the same size.
        y_test: Their labels.

    Raises:
        InputError: If the arrays are not such pictures and labels, or do not belong together.
    """

    source: str
    x_train: AnyArray
    y_train: AnyArray
    x_test: AnyArray
    y_test: AnyArray

    def __post_init__(self) -> None:
        for part in ("train", "test"):
            pictures, labels = getattr(self, f"x_{part}"), getattr(self, f"y_{part}")
            object.__setattr__(self, f"x_{part}", _pictures(pictures, f"{self.source}, x_{part}"))
            object.__setattr__(self, f"y_{part}", _labels(labels, len(pictures), f"{self.source}, y_{part}"))
        if self.x_train.shape[1:] != self.x_test.shape[1:]:
            raise InputError(
                f"{self.source}: pictures for training are {self.x_train.shape[1:]} and for testing "
                f"{self.x_test.shape[1:]}; they must have one size"
            )

    @property
    def shape(self) -> tuple[int, int, int]:
        """Rows, columns and channels of a picture."""
        rows, columns, channels = self.x_train.shape[1:]
        return rows, columns, channels


def _pictures(values: AnyArray, where: str) -> AnyArray:
    if values.dtype != np.uint8 or values.ndim not in (3, 4) or not len(values):
        raise InputError(
            f"{where}: {values.dtype} {values.shape}; allowed are uint8 pictures [example, row, column] or "
            "[example, row, column, channel], at least one",
            hint="Store the pixels as they are, from 0 to 255; they are divided by 255 when a network reads them.",
        )
    return values if values.ndim == 4 else values[..., np.newaxis]


def _labels(values: AnyArray, examples: int, where: str) -> npt.NDArray[np.int64]:
    if values.shape not in {(examples,), (examples, 1)} or values.dtype.kind not in "iu":
        raise InputError(
            f"{where}: {values.dtype} {values.shape}; needed is an integer for each of {examples} pictures"
        )
    labels = values.reshape(-1).astype(np.int64)
    if labels.min() < 0 or labels.max() >= CLASSES:
        raise InputError(f"{where}: labels from {labels.min()} to {labels.max()}; allowed are 0 to {CLASSES - 1}")
    return labels


def pixels(images: AnyArray, shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
    """What a network takes: `[example, *shape]`, float32, in [0, 1]."""
    return (images.astype(np.float32) / np.float32(255.0)).reshape(-1, *shape)
