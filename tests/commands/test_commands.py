"""The command line as users see it: what it prints, where it writes, and how it ends."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bprune import open_results
from bprune.cli import run
from tests.networks import INPUTS


def bprune(*arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run the command line in a process of its own."""
    run = [sys.executable, "-m", "bprune", *map(str, arguments)]
    return subprocess.run(run, cwd=cwd, capture_output=True, text=True, check=False, timeout=300)


def run_json(*arguments: str | Path, cwd: Path, code: int = 0) -> Any:
    """Run with --json in this process; the one object on standard output."""
    output = io.StringIO()
    with _folder(cwd), contextlib.redirect_stdout(output):
        assert run([*map(str, arguments), "--json"]) == code
    return json.loads(output.getvalue())


@contextlib.contextmanager
def _folder(path: Path) -> Iterator[None]:
    before = os.getcwd()
    os.chdir(path)
    try:
        yield
    finally:
        os.chdir(before)


def test_inspect_prints_a_table_and_nothing_else(mixed_case: Path, tmp_path: Path) -> None:
    done = bprune("inspect", "--case-dir", mixed_case, "--threshold", "1", cwd=tmp_path)
    assert done.returncode == 0
    assert done.stderr == ""
    for word in (
        "flip/kernel",
        "DenseFlipout",
        "Laplace",
        "6x8",
        "SNR median",
        "SNR < 1",
        "all posteriors",
        "norm/gamma",
    ):
        assert word in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_inspect_json(mixed_case: Path, tmp_path: Path) -> None:
    content = run_json("inspect", "--case-dir", mixed_case / "model-10.ckpt.index", cwd=tmp_path)
    assert content["schema"] == "bprune-inspect 1"
    assert content["iterations"] == ["model-10.ckpt"]
    assert content["task"] == "classification"
    assert content["input"]["shape"] == [None, 6]
    assert [item["weights"] for item in content["layers"]] == [48, 56, 35, 5, 15]
    assert content["total"]["weights"] == 159
    assert content["heldout"] is True
    assert content["unpruned"] == []


def test_infer_writes_results_and_says_how_it_went(mixed_case: Path, tmp_path: Path) -> None:
    done = bprune("infer", "--case-dir", mixed_case, "--mc-iters", "20", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "accuracy" in done.stdout
    with open_results(tmp_path / "mixed-results.h5") as results:
        assert results.run.mc_iters == 20
        assert results.run.command.startswith("bprune infer --case-dir")
        draws = results.draws()
        assert draws is not None
        assert draws.values.shape == (20, 4, 3)
        np.testing.assert_allclose(draws.values.sum(-1), 1.0, rtol=1e-5)
        np.testing.assert_array_equal(results.inputs, INPUTS)


def test_infer_without_draws_keeps_the_same_summary(mixed_case: Path, tmp_path: Path) -> None:
    for draws in ("all", "none"):
        arguments = ("--mc-iters", "25", "--draws", draws, "--seed", "3", "--out", f"{draws}.h5")
        assert run_json("infer", "--case-dir", mixed_case, *arguments, cwd=tmp_path)["mc_iters"] == 25
    with open_results(tmp_path / "all.h5") as kept, open_results(tmp_path / "none.h5") as dropped:
        assert dropped.draws() is None
        np.testing.assert_array_equal(kept.summary.mean, dropped.summary.mean)


def test_the_same_seed_gives_the_same_draws(mixed_case: Path, tmp_path: Path) -> None:
    from bprune import infer

    means = []
    for seed, name in ((1, "a"), (1, "b"), (2, "c")):
        with infer(mixed_case, out=tmp_path / name, mc_iters=5, seed=seed) as results:
            means.append(results.summary.mean)
    np.testing.assert_array_equal(means[0], means[1])
    assert np.abs(means[0] - means[2]).max() > 1e-6


def test_regression_end_to_end(variational_case: Path, tmp_path: Path) -> None:
    content = run_json("prune", "--case-dir", variational_case, "--sparsity", "0.3", "--mc-iters", "10", cwd=tmp_path)
    assert {"rmse", "nll"} <= set(content["before"])
    assert content["after"]["rmse"]["value"] > 0.0
    with open_results(tmp_path / "variational-pruned" / "results.h5") as results:
        draws = results.draws()
        assert draws is not None
        assert draws.scale is not None
        assert draws.values.shape == draws.scale.shape == (10, 4, 1)


def test_prune_then_infer_then_prune_again(mixed_case: Path, tmp_path: Path) -> None:
    first = run_json("prune", "--case-dir", mixed_case, "--threshold", "1", "--mc-iters", "10", cwd=tmp_path)
    assert first["results"] == "mixed-pruned/results.h5"
    assert 0.0 < first["total"]["sparsity"] < 1.0
    content = run_json("infer", "--case-dir", "mixed-pruned", "--mc-iters", "10", "--out", "again.h5", cwd=tmp_path)
    assert content["nonzeros"] == first["total"]["nonzeros"]
    assert content["threshold"] == 1.0
    on_the_fly = run_json(
        "infer", "--case-dir", mixed_case, "--threshold", "1", "--mc-iters", "10", "--out", "fly.h5", cwd=tmp_path
    )
    assert on_the_fly["nonzeros"] == first["total"]["nonzeros"]
    with open_results(tmp_path / "again.h5") as saved, open_results(tmp_path / "fly.h5") as fly:
        np.testing.assert_array_equal(saved.summary.mean, fly.summary.mean)
    inspected = run_json("inspect", "--case-dir", "mixed-pruned", cwd=tmp_path)
    assert inspected["pruned"] is True
    assert inspected["pruning"]["threshold"] == 1.0


def test_no_infer_writes_the_case_alone(mixed_case: Path, tmp_path: Path) -> None:
    done = bprune("prune", "--case-dir", mixed_case, "--threshold", "1", "--no-infer", cwd=tmp_path)
    assert done.returncode == 0
    assert "accuracy" not in done.stdout
    assert not (tmp_path / "mixed-pruned" / "results.h5").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["prune"], 2, "Missing option '--case-dir'"),
        (["prnue"], 2, "No such command"),
        (["prune", "--case-dir", "CASE", "--threshold", "1", "--sparsity", "0.5"], 2, "do not go together"),
        (["prune", "--case-dir", "CASE", "--threshold", "-1"], 2, "must be a number of at least 0"),
        (["prune", "--case-dir", "CASE", "--sparsity", "2"], 2, "not a fraction between 0 and 1"),
        (["prune", "--case-dir", "CASE", "--layer-threshold", "flip"], 2, "give NAME=NUMBER"),
        (["prune", "--case-dir", "CASE", "--layer-threshold", "filp=1"], 4, "Did you mean flip?"),
        (["prune", "--case-dir", "CASE", "--threshold", "1e9"], 3, "leaves no weight in"),
        (["infer", "--case-dir", "CASE", "--mc-iters", "0"], 2, "--mc-iters"),
        (["infer", "--case-dir", "CASE", "--data", "none.npz"], 4, "none.npz"),
        (["infer", "--case-dir", "CASE", "--checkpoint", "11"], 4, "there is no checkpoint '11'"),
        (["infer", "--case-dir", "CASE", "--task", "regression"], 4, "which is not regression"),
        (["infer", "--case-dir", "CASE", "--feed", "keep=1"], 4, "no placeholder 'keep'"),
        (["infer", "--case-dir", "CASE", "--out", "no/such/folder/r.h5"], 6, "cannot write"),
        (["infer", "--case-dir", "CASEX"], 4, "Did you mean"),
    ],
)
def test_every_mistake_has_a_message_and_a_code(
    mixed_case: Path, tmp_path: Path, arguments: list[str], code: int, message: str
) -> None:
    given = [item.replace("CASE", str(mixed_case)) for item in arguments]
    errors = io.StringIO()
    with contextlib.redirect_stderr(errors):
        error = run_json(*given, cwd=tmp_path, code=code)["error"]
    assert error["exit_code"] == code
    assert errors.getvalue().startswith(f"Error: {error['message']}\n")
    assert message in errors.getvalue()
    assert "Traceback" not in errors.getvalue()
    assert list(tmp_path.iterdir()) == []


def test_without_json_errors_are_on_standard_error_alone(tmp_path: Path) -> None:
    done = bprune("inspect", "--case-dir", "nowhere", cwd=tmp_path)
    assert done.returncode == 4
    assert done.stdout == ""
    assert done.stderr.startswith("Error: nowhere does not exist\nHint: ")


def test_debug_shows_the_traceback(tmp_path: Path) -> None:
    done = bprune("inspect", "--case-dir", "nowhere", "--debug", cwd=tmp_path)
    assert "Traceback" in done.stderr


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_leaves_nothing(mixed_case: Path, tmp_path: Path, number: signal.Signals, code: int) -> None:
    run = [sys.executable, "-m", "bprune", "infer", "--case-dir", str(mixed_case), "--mc-iters", "5000000"]
    with subprocess.Popen(run, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 120.0
        while not any(tmp_path.iterdir()) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert any(tmp_path.iterdir()), "the run never began to write"
        process.send_signal(number)
        _, errors = process.communicate(timeout=180)
    assert process.returncode == code
    assert "nothing unfinished was left behind" in errors
    assert list(tmp_path.iterdir()) == []


def test_a_signal_that_a_foreign_callback_swallowed_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    from bprune import signals
    from bprune.commands.output import Output

    monkeypatch.setattr(signals, "_pending", [])
    with Output(as_json=False, quiet=True, verbose=0).progress("work") as progress:
        progress(0.1)
        with contextlib.suppress(signals.TerminatedError):
            signals._handle(signal.SIGTERM, None)
        with pytest.raises(signals.TerminatedError, match="15"):
            progress(0.2)


def test_plain_progress_lines(tmp_path: Path) -> None:
    from bprune.inference.progress import show_progress

    stream = io.StringIO()
    with show_progress("work", stream=stream) as progress:
        progress(0.5)
        assert stream.getvalue() == ""
        progress._start -= 10.0  # type: ignore[attr-defined]
        progress(0.55)
    assert stream.getvalue() == "work: 55%, 10 s, about 8 s left\n"


def test_a_closed_pipe_is_no_error_message(mixed_case: Path, tmp_path: Path) -> None:
    command = f"{sys.executable} -m bprune inspect --case-dir {mixed_case} --json | true"
    done = subprocess.run(command, shell=True, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


@pytest.mark.skipif(os.name != "posix", reason="needs a full device")
def test_full_disk(mixed_case: Path, tmp_path: Path) -> None:
    """A file size limit stands in for a full disk."""
    code = (
        "import resource, sys; from bprune.cli import main; "
        "import tensorflow; resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096)); "
        "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); main(sys.argv[1:])"
    )
    arguments = ["prune", "--case-dir", str(mixed_case), "--threshold", "1", "--no-infer"]
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 6, done.stderr
    assert list(tmp_path.iterdir()) == []
