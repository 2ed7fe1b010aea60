"""Which of several training processes writes the case: the chief alone."""

from __future__ import annotations

import json
import os
import sys

__all__ = ["is_chief"]

_RANK_VARIABLES = ("OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK", "MV2_COMM_WORLD_RANK", "SLURM_PROCID")


def is_chief() -> bool:
    """Whether this process writes: it is not a worker other than the first of any distribution it runs under.

    Looked at, in this order: Horovod if it is imported and initialised, `TF_CONFIG` of tf.distribute, and the rank
    variables that MPI launchers and Slurm set.

    Raises:
        ValueError: If TF_CONFIG is not valid JSON.
    """
    for name in ("horovod.tensorflow", "horovod.tensorflow.keras", "horovod.keras", "horovod.torch"):
        module = sys.modules.get(name)
        if module is not None and (not hasattr(module, "is_initialized") or module.is_initialized()):
            return int(module.rank()) == 0
    configuration = json.loads(os.environ.get("TF_CONFIG") or "{}")
    task = configuration.get("task")
    if task:
        cluster = configuration.get("cluster", {})
        first = "chief" if cluster.get("chief") else "master" if cluster.get("master") else "worker"
        return bool(task.get("type") == first and int(task.get("index", 0)) == 0)
    for name in _RANK_VARIABLES:
        value = os.environ.get(name, "")
        if value.isdecimal():
            return int(value) == 0
    return True
