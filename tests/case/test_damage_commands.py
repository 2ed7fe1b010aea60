"""Commands on damaged files: an error, an exit code, and nothing half-written."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.case import cases
from tests.case.cases import THIRD_PARTY
from tests.case.conftest import CliRun

pytestmark = [pytest.mark.filterwarnings(line) for line in THIRD_PARTY]


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size * 2 // 3)


@pytest.mark.parametrize("ending", ["index", "data-00000-of-00001", "meta"])
@pytest.mark.parametrize("command", ["inspect", "infer", "prune"])
def test_commands_on_truncated_files(
    keras: Path, cli: Callable[..., CliRun], tmp_path: Path, command: str, ending: str
) -> None:
    truncate(keras / f"model-1000.ckpt.{ending}")
    before = cases.all_files(keras)
    target = {"inspect": [], "infer": ["--out", "out.h5"], "prune": ["--out", "pruned", "--sparsity", "0.5"]}[command]
    plain = cli(command, "--case-dir", keras, *target)
    assert plain.code == 4
    assert plain.out == ""
    assert plain.err.startswith("Error: ")
    assert "Traceback" not in plain.err
    told = cli(command, "--case-dir", keras, *target, "--json")
    assert told.code == 4
    content = json.loads(told.out)
    assert content["error"]["exit_code"] == 4
    assert f"model-1000.ckpt.{ending}" in content["error"]["message"] or ending.startswith("data")
    assert cases.all_files(keras) == before
    assert list((tmp_path / "cwd").iterdir()) == []


def test_a_bit_of_the_data(keras: Path, cli: Callable[..., CliRun], tmp_path: Path) -> None:
    """A flip behind the index is found when the values are read, before anything is written."""
    data = keras / "model-1000.ckpt.data-00000-of-00001"
    content = bytearray(data.read_bytes())
    content[50] ^= 4
    data.write_bytes(bytes(content))
    run = cli("infer", "--case-dir", keras, "--out", "out.h5", "--json")
    assert run.code == 4
    assert "values cannot be read" in json.loads(run.out)["error"]["message"]
    assert list((tmp_path / "cwd").iterdir()) == []


def test_a_sound_case_runs(keras: Path, cli: Callable[..., CliRun], tmp_path: Path) -> None:
    """What the tests above refuse is not refused for another reason."""
    run = cli("infer", "--case-dir", keras, "--out", "out.h5", "--mc-iters", 3, "--json")
    assert (run.code, json.loads(run.out)["examples"]) == (0, 9)
    assert [path.name for path in (tmp_path / "cwd").iterdir()] == ["out.h5"]
