"""The array types that stages of BPrune hand to each other, and arrays that nobody writes to."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["AnyArray", "BoolArray", "Float64Array", "FloatArray", "IntArray", "is_same", "read_only"]

AnyArray: TypeAlias = NDArray[Any]
BoolArray: TypeAlias = NDArray[np.bool_]
FloatArray: TypeAlias = NDArray[np.float32]
Float64Array: TypeAlias = NDArray[np.float64]
IntArray: TypeAlias = NDArray[np.int64]


def read_only(values: AnyArray) -> AnyArray:
    """The same memory as an array that cannot be written: whoever hands it on says that it does not change any more."""
    view = values.view()
    view.flags.writeable = False
    return view


def is_same(first: AnyArray, second: AnyArray) -> bool:
    """Whether two arrays hold the same numbers; nothing is read where neither can be written and both are one place."""
    if first.shape != second.shape or first.dtype != second.dtype:
        return False
    is_one = first.ctypes.data == second.ctypes.data and first.strides == second.strides
    if is_one and not (first.flags.writeable or second.flags.writeable):
        return True
    return np.array_equal(first, second)
