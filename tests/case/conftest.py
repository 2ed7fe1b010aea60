"""Cases that are made once per session, and the command line in this process."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from bprune.case.checkpoint import write_checkpoint
from tests.case import cases
from tests.case.checkpoint_values import VALUES


@dataclass(frozen=True)
class CliRun:
    """What a command left: exit code, standard output, standard error."""

    code: int
    out: str
    err: str


@pytest.fixture(scope="session", autouse=True)
def _forget_cases() -> Iterator[None]:
    yield
    cases.forget_cases()


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    """A checkpoint."""
    write_checkpoint(tmp_path / "model-7.ckpt", VALUES)
    return tmp_path / "model-7.ckpt"


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    """A copy of the predecessor's layout with a full training MetaGraph."""
    return cases.copied(cases.trained_case(), tmp_path / "trained")


@pytest.fixture
def keras(tmp_path: Path) -> Path:
    """A copy of a case of the training package."""
    return cases.copied(cases.keras_case(), tmp_path / "keras")


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A copy of a case of one layer by hand."""
    return cases.copied(cases.small_case(), tmp_path / "small")


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., CliRun]:
    """Run `bprune ARGUMENTS` in an empty folder, `cwd`."""
    from bprune.cli import main

    folder = tmp_path / "cwd"
    folder.mkdir(exist_ok=True)
    monkeypatch.setattr(signal, "signal", lambda number, action: None)
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "3")

    def run(*arguments: object) -> CliRun:
        monkeypatch.chdir(folder)
        capsys.readouterr()
        with pytest.raises(SystemExit, match="^[0-9]+$") as exit_:
            main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return CliRun(int(str(exit_.value)), out, err)

    return run
