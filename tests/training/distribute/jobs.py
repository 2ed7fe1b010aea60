"""Starting the workers of a job as real commands, and what came out of them."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT

WORKER = Path(__file__).with_name("worker.py")
LIMIT_S = 480
UNSEEN = ["sh", "-c", '"$0" "$@"; code=$?; [ $code = 137 ] && sleep 60; exit $code']
"""Runs a command whose death by kill -9 the launcher does not notice for a minute."""


@dataclass(frozen=True)
class Job:
    """What a job left.

    Attributes:
        folder: Where it wrote.
        code: The exit code of the launcher.
        errors: Standard error of all workers.
        seconds: How long it took.
    """

    folder: Path
    code: int
    errors: str
    seconds: float

    def report(self, part: str, rank: int) -> dict[str, Any]:
        """What one worker found."""
        found: dict[str, Any] = json.loads((self.folder / f"{part}-{rank}.json").read_text())
        return found


@cache
def mpi_files() -> tuple[Path, Path]:
    """mpiexec and the MPI library, as the package mpich installs them."""
    try:
        found = [Path(str(item.locate())) for item in files("mpich") or ()]
    except PackageNotFoundError:
        found = []
    launcher = [path.resolve() for path in found if path.name == "mpiexec"]
    library = [path.resolve() for path in found if path.name == "libmpi.so.12"]
    if not launcher or not library:
        pytest.skip("the package mpich is not installed")
    return launcher[0], library[0]


def environment(**variables: str) -> dict[str, str]:
    """The environment of a worker."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PMI", "TF_CONFIG", "SLURM"))}
    threads = {"TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1", "OMP_NUM_THREADS": "1"}
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "2", "PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": "-1"}
    return {**kept, **threads, **quiet, **variables}


def free_ports(count: int) -> list[int]:
    """Ports that were free a moment ago."""
    probes = [socket.socket() for _ in range(count)]
    for probe in probes:
        probe.bind(("localhost", 0))
    ports: list[int] = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


def cluster_job(folder: Path, mode: str, part: str, kinds: tuple[str, ...]) -> list[Job]:
    """Run the worker once for each of the kinds of a cluster; what came of each."""
    return cluster_command(folder, [str(WORKER), mode, str(folder), part], kinds)


def cluster_command(folder: Path, command: list[str], kinds: tuple[str, ...]) -> list[Job]:
    """Run a Python script once for each of the kinds of a cluster, with TF_CONFIG; what came of each."""
    ports = free_ports(len(kinds))
    cluster: dict[str, list[str]] = {}
    tasks = []
    for kind, port in zip(kinds, ports, strict=True):
        cluster.setdefault(kind, []).append(f"localhost:{port}")
        tasks.append({"type": kind, "index": len(cluster[kind]) - 1})
    begin = time.monotonic()
    workers = [
        subprocess.Popen(
            [sys.executable, *command],
            env=environment(TF_CONFIG=json.dumps({"cluster": cluster, "task": task})),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for task in tasks
    ]
    try:
        errors = [worker.communicate(timeout=LIMIT_S)[1] for worker in workers]
    finally:
        for worker in workers:
            worker.kill()
    seconds = time.monotonic() - begin
    return [Job(folder, worker.returncode, text, seconds) for worker, text in zip(workers, errors, strict=True)]


def mpi_job(folder: Path, *arguments: str) -> Job:
    """Run the worker under mpiexec, with two processes."""
    return mpi_command(folder, [str(WORKER), *arguments])


def mpi_command(folder: Path, command: list[str]) -> Job:
    """Run a Python script under mpiexec, with two processes."""
    launcher, library = mpi_files()
    begin = time.monotonic()
    done = subprocess.run(
        [str(launcher), "-n", "2", *UNSEEN, sys.executable, *command],
        env=environment(MPI4PY_LIBMPI=str(library)),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        timeout=LIMIT_S,
    )
    return Job(folder, done.returncode, done.stderr, time.monotonic() - begin)
