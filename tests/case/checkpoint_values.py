"""The values of the checkpoints that tests write, and how they are compared."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bprune.arrays import AnyArray
from bprune.case.bundle_index import data_path

VALUES: dict[str, AnyArray] = {
    "den_1/kernel_posterior_loc": np.linspace(-1.0, 2.0, 150, dtype=np.float32).reshape(10, 15),
    "den_1/kernel_posterior_untransformed_scale": np.linspace(-9.0, -3.0, 150, dtype=np.float32).reshape(10, 15),
    "den_1/bias_posterior_loc": np.arange(15, dtype=np.float32),
    "global_step": np.asarray(14000, np.int64),
}


def data(prefix: Path, shard: int = 0, shards: int = 1) -> Path:
    return data_path(prefix, shard, shards)


def same(read: dict[str, AnyArray], written: dict[str, AnyArray]) -> bool:
    return sorted(read) == sorted(written) and all(
        read[name].dtype == value.dtype and read[name].shape == value.shape and read[name].tobytes() == value.tobytes()
        for name, value in written.items()
    )
