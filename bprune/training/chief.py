"""Which of several training processes writes the case: the chief alone."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from bprune.training.launch import read_launch

__all__ = ["declared_chief", "is_chief"]

_declared: list[bool] = []


@contextmanager
def declared_chief(chief: bool) -> Iterator[None]:
    """Say for the length of a block whether this process writes, where its environment does not tell."""
    _declared.append(chief)
    try:
        yield
    finally:
        _declared.pop()


def is_chief() -> bool:
    """Whether this process writes: it is not a worker other than the first of any distribution it runs under.

    Looked at, in this order: what was declared (`bprune.training.distribute` does), Horovod if it is imported and
    initialised, `TF_CONFIG` of tf.distribute, and the rank variables that MPI launchers and Slurm set.

    Raises:
        ValueError: If TF_CONFIG is not valid JSON.
    """
    if _declared:
        return _declared[-1]
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
    launch = read_launch(os.environ)
    return launch is None or launch.rank == 0
