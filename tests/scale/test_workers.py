"""Calls by workers: their order, what is given up, and how the loss of a worker is told."""

from __future__ import annotations

import builtins
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import pytest

from bprune.errors import EngineError, UsageError
from bprune.scale import Workers, open_workers, processes
from bprune.scale.cores import share_cores, visible_gpus


class Later:
    """An executor that does a call when its result is asked for, and remembers what was given up."""

    def __init__(self) -> None:
        self.begun: list[Any] = []
        self.given_up: list[Any] = []

    def submit(self, function: Callable[..., Any], /, *arguments: Any) -> Any:
        executor = self
        self.begun.append(arguments)

        class Call:
            def result(self) -> Any:
                return function(*arguments)

            def cancel(self) -> None:
                executor.given_up.append(arguments)

        return Call()


def test_results_come_in_order_and_few_calls_are_ahead() -> None:
    executor = Later()
    results = Workers(executor, 2).results(pow, ((2, n) for n in range(100)))
    assert [next(results) for _ in range(3)] == [1, 2, 4]
    assert len(executor.begun) == 7
    results.close()  # type: ignore[attr-defined]
    assert executor.given_up == executor.begun[3:]


def test_an_error_of_a_call_is_raised_and_the_others_are_given_up() -> None:
    executor = Later()
    with pytest.raises(ZeroDivisionError):
        list(Workers(executor, 1).results(divmod, [(1, 1), (1, 0), (1, 2), (1, 3), (1, 4)]))
    assert executor.given_up == [(1, 2), (1, 3)]


@pytest.mark.parametrize("error", [BrokenProcessPool(), CancelledError(), BufferError()])
def test_every_way_to_lose_a_worker_is_one_error(error: BaseException) -> None:
    class Broken:
        def submit(self, function: Callable[..., Any], /, *arguments: Any) -> Future[Any]:
            future: Future[Any] = Future()
            future.set_exception(error)
            return future

    with pytest.raises(EngineError, match="a worker process ended before its work was done") as caught:
        list(Workers(Broken(), 2, (BufferError,)).results(abs, [(1,)]))
    assert caught.value.exit_code == 7
    assert "Memory" in (caught.value.hint or "")


def test_a_killed_process_is_told() -> None:
    with pytest.raises(EngineError, match="a worker process ended"), processes(1) as workers:
        list(workers.results(os._exit, [(9,)]))


def test_cores_are_divided_before_anything_is_loaded() -> None:
    with processes(2) as workers:
        found = list(workers.results(_cores, [() for _ in range(6)]))
    assert all(1 <= len(cores) <= max(1, len(_cores()[0]) // 2 + 1) for cores, _, _ in found)
    assert all(int(threads) == len(cores) for cores, threads, _ in found)
    assert not any(loaded for _, _, loaded in found)


def _cores() -> tuple[set[int], str, list[str]]:
    if not hasattr(os, "sched_getaffinity"):
        pytest.skip("this system does not say which cores a process has")
    names = ("numpy", "tensorflow", "numba")
    return os.sched_getaffinity(0), os.environ.get("TF_NUM_INTRAOP_THREADS", ""), [n for n in names if n in sys.modules]


def test_threads_that_were_set_are_not_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1, 2, 3, 4, 5, 6, 7}, raising=False)
    taken: list[set[int]] = []
    monkeypatch.setattr(os, "sched_setaffinity", lambda pid, cores: taken.append(cores), raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("MKL_NUM_THREADS", "64")
    for name in ("NUMBA_NUM_THREADS", "OPENBLAS_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
        monkeypatch.setenv(name, "")
    for number in range(3):
        share_cores(number, 3)
    assert sorted(core for share in taken for core in share) == list(range(8))
    assert (os.environ["OMP_NUM_THREADS"], os.environ["MKL_NUM_THREADS"]) == ("1", "2")


@pytest.mark.parametrize(("said", "names"), [("", ()), ("-1", ()), ("0", ()), ("2, GPU-ab", ("2", "GPU-ab"))])
def test_gpus_are_divided_where_there_are_several(
    said: str, names: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", said)
    assert visible_gpus() == names


_PARENT = """
import os, time
from bprune.scale import processes

if __name__ == "__main__":
    with processes(1) as workers:
        print(next(workers.results(os.getpid, [()])), flush=True)
        time.sleep(60)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_workers_end_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(_PARENT)
    with subprocess.Popen(
        [sys.executable, str(script)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as parent:
        assert parent.stdout is not None
        worker = int(parent.stdout.readline())
        parent.send_signal(signal.SIGKILL)
    for _ in range(200):
        if not _is_running(worker):
            return
        time.sleep(0.05)
    pytest.fail("the worker lives on")


def _is_running(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().split()[2] not in "ZX"
    except OSError:
        return False


@pytest.mark.parametrize(
    ("executor", "workers", "message"),
    [(None, 0, "number of workers is 0"), (builtins, None, "an executor is a module; it needs a method submit")],
)
def test_what_is_no_executor_is_refused(executor: Any, workers: int | None, message: str) -> None:
    with pytest.raises(UsageError, match=message), open_workers(executor, workers):
        pass


def test_one_process_is_this_one() -> None:
    with open_workers(None, 1) as none, open_workers(None, None) as nothing:
        assert none is nothing is None
    with open_workers(Later(), None) as workers:
        assert workers is not None
        assert workers.count == 8


@pytest.fixture(autouse=True)
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
