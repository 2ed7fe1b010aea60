"""A digest of a network's weights, to compare workers with."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

import numpy as np

__all__ = ["weight_digest"]


def weight_digest(variables: Iterable[Any]) -> str:
    """SHA-256, in hexadecimal, of the values of variables: equal if and only if all bits are."""
    digest = hashlib.sha256()
    for variable in variables:
        value = np.ascontiguousarray(variable.numpy())
        digest.update(f"{value.dtype}{value.shape}".encode())
        digest.update(value.tobytes())
    return digest.hexdigest()
