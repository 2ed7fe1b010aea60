"""`bprune doctor`: what it finds, and that a broken installation is told, not raised."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bprune.cli import run
from bprune.engines import health, machine, rates
from bprune.engines.health import EngineState, Health, Kernels, examine
from bprune.engines.machine import read_machine, usable_cores
from bprune.engines.rates import measure_rates

CPUINFO_X86 = {"model name": "A CPU", "flags": "fpu sse2 fma avx2 avx512f avx512_bf16 amx_bf16 amx_tile"}
CPUINFO_ARM = {"Features": "fp asimd aes sve bf16"}


@pytest.fixture
def quick_rates(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rates of a hundredth of a second: that they are measured is what these tests look at."""
    monkeypatch.setattr(health, "measure_rates", lambda *, native: measure_rates(native=native, seconds=0.01))


def _doctor(*arguments: str) -> tuple[int, str, str]:
    """Exit code, standard output and standard error."""
    output, errors = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
        code = run(["doctor", *arguments])
    return code, output.getvalue(), errors.getvalue()


@pytest.mark.usefixtures("quick_rates")
def test_it_tells_what_runs_and_how_fast() -> None:
    code, output, errors = _doctor()
    assert code == 0, errors
    told = {line[:18].strip(): line[18:].strip() for line in output.splitlines()}
    for engine in ("graph", "tensorflow", "native"):
        assert told[f"engine {engine}"] == "runs"
    assert f"{usable_cores()} of {os.cpu_count()}" in told["cores"]
    assert told["numpy"] == np.__version__
    assert "ready in" in told["kernels"]
    assert "GFLOP/s" in told["matrix products"]
    assert "per second" in told["normals"]


@pytest.mark.usefixtures("quick_rates")
def test_json() -> None:
    code, output, errors = _doctor("--json")
    assert code == 0, errors
    content: dict[str, Any] = json.loads(output)
    assert content["schema"] == "bprune-doctor 1"
    assert "error" not in content
    assert content["machine"]["cores"] == usable_cores()
    assert content["machine"]["versions"]["tensorflow"].startswith("2.")
    assert [item["problem"] for item in content["engines"]] == ["", "", ""]
    kernels = content["kernels"]
    assert (kernels["problem"], kernels["seconds"] > 0.0) == ("", True)
    assert not kernels["cache"] or Path(kernels["cache"]).is_dir()
    assert all(value > 0 for value in content["rates"].values())


def test_numba_that_is_broken_costs_the_engine_native_alone(tmp_path: Path) -> None:
    """In a process of its own, where numba fails as it does with a NumPy that it does not know."""
    (tmp_path / "numba.py").write_text("raise ImportError('Numba needs NumPy 1.0 or less')\n")
    done = subprocess.run(
        [sys.executable, "-m", "bprune", "doctor", "--json"],
        env={**os.environ, "PYTHONPATH": str(tmp_path), "CUDA_VISIBLE_DEVICES": "-1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert (done.returncode, done.stderr) == (0, "")
    content = json.loads(done.stdout)
    states = {item["name"]: item["problem"] for item in content["engines"]}
    wanted = "numba cannot be used: ImportError: Numba needs NumPy 1.0 or less"
    assert states == {"graph": "", "tensorflow": "", "native": wanted}
    assert content["rates"]["normals_per_s"] is None
    assert content["rates"]["matmul_flop_per_s"] > 0.0


@pytest.mark.usefixtures("quick_rates")
@pytest.mark.parametrize("as_json", [False, True])
def test_without_tensorflow_no_engine_runs(monkeypatch: pytest.MonkeyPatch, as_json: bool) -> None:
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    code, output, errors = _doctor(*(["--json"] if as_json else []))
    assert code == 7
    assert "no engine can run: TensorFlow cannot be used: ModuleNotFoundError" in errors
    assert "Traceback" not in errors
    if as_json:
        content = json.loads(output)
        assert content["error"]["exit_code"] == 7
        assert all(item["problem"] for item in content["engines"])
    else:
        assert "matrix products" in output, "what still works is told"


def test_kernels_that_compute_nonsense_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A planted bug: products whose sums are left out."""
    from bprune.engines.native import kernels_chain

    assert health.try_kernels().problem == ""
    monkeypatch.setattr(kernels_chain, "run_chain", lambda out, *_: out.fill(0.0))
    found = health.try_kernels()
    assert found.problem == "the kernels' products differ from NumPy's"
    assert found.seconds is None


def test_a_cache_that_cannot_be_written_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    from bprune.commands.doctor import _kernel_rows
    from bprune.engines.native import jit

    monkeypatch.setattr(jit, "cache_folder", lambda: None)
    found = health.try_kernels()
    assert (found.problem, found.cache, found.compiled) == ("", "", None)
    told = dict(_kernel_rows(found))
    assert "set NUMBA_CACHE_DIR" in told["kernel cache"]
    assert "all compiled" in told["kernels"]


@pytest.mark.parametrize(
    ("problems", "fails"), [(("", "", ""), False), (("", "", "no numba"), False), (("no tf", "no tf", "no tf"), True)]
)
def test_one_engine_is_enough(problems: tuple[str, ...], fails: bool) -> None:
    engines = tuple(EngineState(name, problem) for name, problem in zip("abc", problems, strict=True))
    kernels = Kernels("", "", None, 1.0)
    failure = Health(read_machine(), engines, kernels, measure_rates(native=False, seconds=0.001)).failure
    assert (failure is not None) == fails
    if failure is not None:
        assert failure.message == "no engine can run: no tf"


def test_rates_are_those_of_all_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Work that sleeps for 10 ms: a thread calls it a hundred times a second, three threads thrice as often."""
    import time

    for threads in (1, 3):
        found = rates._calls_per_s(lambda: lambda: time.sleep(0.01), threads, 0.1)
        assert 40.0 * threads < found <= 100.0 * threads


def test_features_where_llvm_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert machine._listed_features(CPUINFO_X86) == ("AVX2", "FMA", "AVX-512", "AVX-512 BF16", "AMX BF16")
    assert machine._listed_features(CPUINFO_ARM) == ("NEON", "SVE", "BF16")
    assert machine._listed_features({}) == ()
    monkeypatch.setitem(sys.modules, "llvmlite", None)
    monkeypatch.setattr(machine, "_cpuinfo", lambda: CPUINFO_ARM)
    assert read_machine().features == ("NEON", "SVE", "BF16")


def test_both_ways_find_the_same_features() -> None:
    if not machine._cpuinfo():
        pytest.skip("this system does not list its processors in /proc/cpuinfo")
    assert machine._features() == machine._listed_features(machine._cpuinfo())


@pytest.mark.parametrize(
    ("files", "quota"),
    [
        ({"cpu.max": "150000 100000\n"}, 1.5),
        ({"cpu.max": "max 100000\n"}, None),
        ({"cpu/cpu.cfs_quota_us": "200000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 2.0),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, None),
        ({}, None),
    ],
)
def test_the_limit_of_a_container(tmp_path: Path, files: dict[str, str], quota: float | None) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert machine._quota(tmp_path) == quota


def test_settings_of_threads_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    found = read_machine().threads
    assert found["OMP_NUM_THREADS"] == "3"
    assert "MKL_NUM_THREADS" not in found


def test_a_system_without_affinities(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    assert usable_cores() == os.cpu_count()


def test_the_library_finds_what_the_command_prints(quick_rates: None) -> None:
    found = examine()
    assert found.failure is None
    assert found.rates.threads == usable_cores()
