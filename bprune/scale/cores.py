"""Cores and GPUs of a machine, divided among the processes that work on it."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess

__all__ = ["share_cores", "visible_gpus"]

_THREADS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "TF_NUM_INTRAOP_THREADS",
    "TF_NUM_INTEROP_THREADS",
)


def share_cores(number: int, count: int) -> None:
    """Take a share of the cores; call it before TensorFlow and numba are imported.

    Args:
        number: Which process this is, from 0.
        count: How many there are.
    """
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        share = set(cores[number % len(cores) :: count])
        with contextlib.suppress(OSError):
            os.sched_setaffinity(0, share)
        threads = len(share)
    else:
        threads = max(1, (os.cpu_count() or 1) // count)
    for name in _THREADS:
        known = os.environ.get(name, "")
        os.environ[name] = str(min(threads, int(known)) if known.isdecimal() and int(known) else threads)


def visible_gpus() -> tuple[str, ...]:
    """The names of this process's GPUs, where there are at least two; found without TensorFlow."""
    said = os.environ.get("CUDA_VISIBLE_DEVICES")
    if said is not None:
        names = [name.strip() for name in said.split(",") if name.strip() and name.strip() != "-1"]
        return tuple(names) if len(names) > 1 else ()
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return ()
    try:
        done = subprocess.run([tool, "-L"], capture_output=True, text=True, check=False, timeout=10.0)
    except (OSError, subprocess.SubprocessError):
        return ()
    count = sum(line.startswith("GPU ") for line in done.stdout.splitlines())
    return tuple(map(str, range(count))) if count > 1 else ()
