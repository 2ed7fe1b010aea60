"""The machine that draws are made on: what its speed depends on besides the code."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from bprune.versions import library_versions

__all__ = ["Machine", "read_machine", "usable_cores"]

_LIBRARIES = ("numba", "llvmlite", "scipy", "threadpoolctl", "jax", "torch")
"""Libraries that matter here, besides those of `library_versions`; those that are not installed are left out."""
_OPTIONAL = ("jax", "torch")

_FEATURES = {
    "AVX2": "avx2",
    "FMA": "fma",
    "AVX-512": "avx512f",
    "AVX-512 BF16": "avx512bf16",
    "AMX BF16": "amx-bf16",
    "NEON": "neon",
    "SVE": "sve",
    "BF16": "bf16",
}
"""What is shown, and what LLVM calls it."""
_OTHER_NAMES = {"neon": "asimd"}
"""What Linux calls a feature, where that is more than another way to write LLVM's name."""
_THREAD_SETTINGS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "TF_NUM_INTRAOP_THREADS",
    "TF_NUM_INTEROP_THREADS",
)


@dataclass(frozen=True)
class Machine:
    """What the numbers of a benchmark depend on besides the code.

    Attributes:
        cpu: The processor's name.
        architecture: Its instruction set, such as x86_64.
        features: The vector and matrix instructions that it has, of those that matter here.
        cores: Cores that this process may use.
        all_cores: Cores of the machine.
        quota: Cores' worth of time that a container allows; None where there is no limit.
        threads: Environment variables that set numbers of threads, those that are set.
        blas: The libraries that multiply matrices in NumPy and SciPy, with their threads.
        gpus: The GPUs that TensorFlow sees.
        python: Version of Python.
        versions: Version by library name.
    """

    cpu: str
    architecture: str
    features: tuple[str, ...]
    cores: int
    all_cores: int
    quota: float | None
    threads: Mapping[str, str]
    blas: tuple[str, ...]
    gpus: tuple[str, ...]
    python: str
    versions: Mapping[str, str]


def read_machine() -> Machine:
    """Look at this machine. What cannot be found out is left empty; nothing is raised."""
    return Machine(
        cpu=_cpu(),
        architecture=platform.machine(),
        features=_features(),
        cores=usable_cores(),
        all_cores=os.cpu_count() or 1,
        quota=_quota(Path("/sys/fs/cgroup")),
        threads={name: os.environ[name] for name in _THREAD_SETTINGS if name in os.environ},
        blas=_blas(),
        gpus=_gpus(),
        python=platform.python_version(),
        versions=_versions(),
    )


def usable_cores() -> int:
    """Cores that this process may use; all of the machine's where the system does not say."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _cpuinfo() -> dict[str, str]:
    """The first of each entry of Linux's list of processors."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return {}
    entries: dict[str, str] = {}
    for line in lines:
        key, _, value = line.partition(":")
        entries.setdefault(key.strip(), value.strip())
    return entries


def _cpu() -> str:
    name = _cpuinfo().get("model name", "")
    if not name and sys.platform == "darwin":
        name = _told_by("sysctl", "-n", "machdep.cpu.brand_string")
    return name or platform.processor() or platform.machine()


def _told_by(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=5.0)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()


def bfloat16_speed() -> float:
    """How many times as fast as in float32 TensorFlow's products are in bfloat16, about, by what the CPU has."""
    features = _features()
    return 5.0 if "AMX BF16" in features else 2.0 if "AVX-512 BF16" in features or "BF16" in features else 1.0


def _features() -> tuple[str, ...]:
    """LLVM knows the features of every processor; where it is missing, Linux's list of them does."""
    try:
        from llvmlite import binding  # type: ignore[import-untyped]

        has = {name for name, there in binding.get_host_cpu_features().items() if there}
        return tuple(shown for shown, name in _FEATURES.items() if name in has)
    except Exception:  # a broken installation breaks in many ways, and this is for telling about it
        return _listed_features(_cpuinfo())


def _listed_features(cpuinfo: Mapping[str, str]) -> tuple[str, ...]:
    flags = set(f"{cpuinfo.get('flags', '')} {cpuinfo.get('Features', '')}".replace("_", "").split())
    plain = {shown: _OTHER_NAMES.get(name, name).replace("-", "") for shown, name in _FEATURES.items()}
    return tuple(shown for shown, name in plain.items() if name in flags)


def _quota(groups: Path) -> float | None:
    """The limit of a control group of Linux, version 2 or 1, in cores."""
    try:
        if (groups / "cpu.max").is_file():
            allowed, period = (groups / "cpu.max").read_text(encoding="ascii").split()
        else:
            allowed = (groups / "cpu" / "cpu.cfs_quota_us").read_text(encoding="ascii")
            period = (groups / "cpu" / "cpu.cfs_period_us").read_text(encoding="ascii")
        return int(allowed) / int(period) if int(allowed) > 0 else None
    except (OSError, ValueError, ZeroDivisionError):  # "max" is no number: no limit
        return None


def _blas() -> tuple[str, ...]:
    try:
        import numpy as np
        from threadpoolctl import threadpool_info

        np.ones((2, 2)) @ np.ones((2, 2))  # the library is there once it was used
        found: list[dict[str, Any]] = [item for item in threadpool_info() if item.get("user_api") == "blas"]
    except Exception:
        return ()
    told = [f"{item.get('internal_api')} {item.get('version')}, {item.get('num_threads')} threads" for item in found]
    return tuple(dict.fromkeys(told))


def _gpus() -> tuple[str, ...]:
    try:
        import tensorflow as tf

        devices = tf.config.list_physical_devices("GPU")
        names = [tf.config.experimental.get_device_details(item).get("device_name", item.name) for item in devices]
    except Exception:
        return ()
    return tuple(map(str, names))


def _versions() -> dict[str, str]:
    versions = library_versions()
    for name in _LIBRARIES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            if name not in _OPTIONAL:
                versions[name] = "not installed"
    return versions
