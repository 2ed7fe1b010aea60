"""Measure both sides of the benchmark in turns, so that whatever else the machine does strikes both."""

from __future__ import annotations

import gc
import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bprune.arrays import AnyArray
from bprune.engines.base import Engine
from bprune.versions import library_versions

__all__ = ["accuracy", "machine", "mean_probabilities", "seconds"]

_DRAWS_AT_ONCE = 20


def seconds(sides: Mapping[str, Callable[[], Any]], rounds: int) -> dict[str, float]:
    """The median time of every side; each is run once before, to warm up, and then in turns.

    Args:
        sides: What to time, by name.
        rounds: How often each is timed.
    """
    for side in sides.values():
        side()
    times: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, side in sides.items():
            gc.collect()
            start = time.perf_counter()
            side()
            times[name].append(time.perf_counter() - start)
    return {name: float(np.median(items)) for name, items in times.items()}


def mean_probabilities(engine: Engine, inputs: AnyArray, draws: int) -> AnyArray:
    """The mean of the probabilities over draws (eq. 4 of the paper), `[example, class]`."""
    total = np.zeros((len(inputs), engine.output_size))
    for start in range(0, draws, _DRAWS_AT_ONCE):
        total += engine.draw(inputs, range(start, min(start + _DRAWS_AT_ONCE, draws))).values.sum(0)
    return total / draws


def accuracy(engine: Engine, inputs: AnyArray, labels: AnyArray, draws: int) -> float:
    """The accuracy of the mean of the probabilities."""
    engine.prepare(len(inputs))
    return float(np.mean(mean_probabilities(engine, inputs, draws).argmax(1) == labels))


def machine() -> dict[str, Any]:
    """What the numbers depend on besides the code."""
    import tensorflow as tf

    devices: Sequence[Any] = tf.config.list_physical_devices("GPU")
    return {
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "gpus": [tf.config.experimental.get_device_details(item).get("device_name", item.name) for item in devices],
        "python": platform.python_version(),
        "versions": library_versions(),
    }


def _cpu() -> str:
    """The processor's name; Linux tells it in a file alone."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
