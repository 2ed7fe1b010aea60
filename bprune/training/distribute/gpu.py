"""One GPU for each of the processes that share a machine."""

from __future__ import annotations

import tensorflow as tf

__all__ = ["take_gpu"]


def take_gpu(local_rank: int) -> None:
    """Let this process see one GPU of its machine, in turn, and take its memory as it needs it.

    Args:
        local_rank: This process's number on its machine, from 0.
    """
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        gpu = gpus[local_rank % len(gpus)]
        tf.config.set_visible_devices(gpu, "GPU")
        tf.config.experimental.set_memory_growth(gpu, True)
