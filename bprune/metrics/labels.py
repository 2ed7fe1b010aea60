"""The shapes and values that labels may have: the one place where they are checked and brought into one form."""

from __future__ import annotations

import numpy as np

from bprune.arrays import AnyArray, FloatArray, IntArray
from bprune.errors import InputError

__all__ = ["class_labels", "regression_targets"]


def class_labels(labels: AnyArray, examples: int, classes: int) -> IntArray:
    """Class numbers as `[example]`, int64, each in 0 ... classes - 1.

    Args:
        labels: Whole numbers of any numeric dtype, `[example]` or `[example, 1]`.
        examples: Number of examples.
        classes: Number of classes of the network.

    Raises:
        InputError: If the shape or dtype does not fit, or a label is not a class number.
    """
    values = np.asarray(labels)
    values = values[:, 0] if values.shape == (examples, 1) else values
    if values.dtype.kind not in "biuf" or values.shape != (examples,):
        raise InputError(
            f"labels are {values.dtype} of the shape {values.shape}; {examples} class numbers are needed",
            hint="Turn one-hot labels into class numbers with numpy.argmax(labels, axis=-1).",
        )
    wrong = np.flatnonzero(~((values >= 0) & (values < classes)) | (values != np.floor(values)))
    if wrong.size:
        raise InputError(
            f"label {values[wrong[0]]} of example {wrong[0]} is not one of the {classes} classes (0 to {classes - 1})",
            hint="Check that the labels belong to this network, and that they count from 0.",
        )
    return values.astype(np.int64)


def regression_targets(targets: AnyArray, examples: int, outputs: int) -> FloatArray:
    """True values as `[example, output]`, float32.

    Args:
        targets: Numbers of any real dtype, `[example, output]`, or `[example]` when there is one output.
        examples: Number of examples.
        outputs: Number of outputs of the network.

    Raises:
        InputError: If the shape or dtype does not fit, or a target is not finite.
    """
    values = np.asarray(targets)
    values = values[:, None] if outputs == 1 and values.shape == (examples,) else values
    if values.dtype.kind not in "biuf" or values.shape != (examples, outputs):
        raise InputError(
            f"targets are {values.dtype} of the shape {values.shape}; numbers of the shape "
            f"{(examples, outputs)} are needed"
        )
    wrong = np.argwhere(~np.isfinite(values))
    if wrong.size:
        raise InputError(f"the target of example {wrong[0][0]} is {values[tuple(wrong[0])]}, not a finite number")
    return values.astype(np.float32)
