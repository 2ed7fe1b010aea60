"""`--workers`, `--mpi` and `--dask`: the results of one process, by real processes; and plans, command by command."""

from __future__ import annotations

import json
import runpy
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bprune import open_results
from bprune.cli import run
from tests.training.distribute.jobs import environment, mpi_files

pytestmark = pytest.mark.xdist_group("worker_options")  # its fixtures are made once

OPTIONS = ["--mc-iters", "20", "--examples", "90", "--antithetic", "--sparsity", "0.5"]


@pytest.fixture(scope="module")
def case(samples: Path) -> str:
    return str(samples / "digits_fc")


@pytest.fixture(scope="module")
def serial(case: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The digest of the results of one process."""
    out = tmp_path_factory.mktemp("serial") / "r.h5"
    assert run(["infer", "--case-dir", case, *OPTIONS, "--out", str(out), "-q"]) == 0
    return digest(out)


def digest(path: Path) -> str:
    with open_results(path) as results:
        return results.digest()


def test_two_processes(case: str, serial: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "r.h5"
    assert run(["infer", "--case-dir", case, *OPTIONS, "--out", str(out), "--workers", "2", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["mc_iters"] == 20
    assert digest(out) == serial


def test_a_process_that_is_spawned_does_not_begin_the_command_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["bprune", "--version"])
    runpy.run_module("bprune.__main__", run_name="__mp_main__")
    with pytest.raises(SystemExit, match="0"):
        runpy.run_module("bprune.__main__", run_name="__main__")


def test_two_ranks(case: str, serial: str, tmp_path: Path) -> None:
    out = tmp_path / "r.h5"
    done = _ranks("infer", "--case-dir", case, *OPTIONS, "--out", str(out), "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["results"] == str(out), "one rank alone prints"
    assert digest(out) == serial


def test_an_error_of_ranks_is_told_once_with_its_code(case: str) -> None:
    done = _ranks("infer", "--case-dir", case, "--nonsense")
    assert (done.returncode, done.stderr.count("Error:")) == (2, 1)
    assert "No such option" in done.stderr


def _ranks(*arguments: str) -> subprocess.CompletedProcess[str]:
    launcher, library = mpi_files()
    command = [str(launcher), "-n", "2", sys.executable, "-m", "bprune", *arguments, "--mpi"]
    return subprocess.run(
        command, env=environment(MPI4PY_LIBMPI=str(library)), capture_output=True, text=True, timeout=240
    )


@pytest.fixture
def cluster() -> Iterator[Any]:
    """Two workers of Dask in this process, which talk over sockets as real ones do."""
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        n_workers=2,
        threads_per_worker=1,
        processes=False,
        protocol="tcp",
        host="127.0.0.1",
        dashboard_address=None,
    ) as cluster:
        yield cluster


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_dask(case: str, serial: str, cluster: Any, tmp_path: Path) -> None:
    out, address = tmp_path / "r.h5", cluster.scheduler_address
    assert run(["infer", "--case-dir", case, *OPTIONS, "--out", str(out), "--dask", address, "-q"]) == 0
    assert digest(out) == serial


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--workers", "2", "--dask", "tcp://127.0.0.1:1"], 2, "do not go together"),
        (["--workers", "2", "--engine", "graph"], 2, "cannot be divided among workers"),
        (["--workers", "0"], 2, "not in the range"),
    ],
)
def test_what_cannot_be_is_refused(
    options: list[str], code: int, message: str, case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "r.h5"
    assert run(["infer", "--case-dir", case, "--mc-iters", "4", "--out", str(out), *options]) == code
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_scheduler_that_is_not_there_is_told(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("distributed")
    monkeypatch.setattr("bprune.scale.dask._TIMEOUT_S", 0.2)
    assert run(["infer", "--case-dir", case, "--dask", "tcp://127.0.0.1:1"]) == 7
    assert "the Dask scheduler tcp://127.0.0.1:1 cannot be reached" in capsys.readouterr().err


@pytest.mark.parametrize(("module", "option"), [("mpi4py", ["--mpi"]), ("distributed", ["--dask", "tcp://a:1"])])
def test_a_missing_library_is_told(
    module: str, option: list[str], case: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    assert run(["infer", "--case-dir", case, *option]) == 1
    assert "pip install" in capsys.readouterr().err


def test_a_plan_command_by_command(case: str, serial: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan, out = str(tmp_path / "p.json"), tmp_path / "r.h5"

    def told(*arguments: str, code: int = 0) -> dict[str, Any]:
        assert run([*arguments, "--json"]) == code
        content: dict[str, Any] = json.loads(capsys.readouterr().out)
        return content

    planned = told("plan", "infer", "--case-dir", case, *OPTIONS, "--out", str(out), "--tasks", "2", "-o", plan)
    assert (planned["tasks"], planned["out"]) == (2, str(out))
    assert told("run-task", plan, "--index", "1")["was_there"] == 0
    assert "have not ended: 0" in told("collect", plan, code=4)["error"]["message"]
    assert told("run-task", plan, "--index", "0")["was_there"] == 0
    assert told("run-task", plan, "--index", "0")["was_there"] == 1
    assert told("collect", plan)["digest"] == serial == digest(out)
    assert "exists already" in told("collect", plan, code=6)["error"]["message"]
