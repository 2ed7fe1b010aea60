"""`examples/ensemble.py`: members come out the same however they are trained, whole or not at all, and once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from examples.ensemble import RECORD, child_environment, member_seed, mine, parse, plan
from tests.examples.command_line import ROOT, run_example

SCRIPT = """
import argparse, json, os, sys
from pathlib import Path

parser = argparse.ArgumentParser()
parser.add_argument("--out", type=Path)
parser.add_argument("--seed", type=int)
parser.add_argument("--fail", type=int, default=-1)
options = parser.parse_args()
ranks = [name for name in os.environ if name.startswith(("PMI_", "OMPI_"))]
(options.out / "seen.json").write_text(json.dumps([options.seed, os.environ["OMP_NUM_THREADS"], ranks]))
with (options.out.parent / "trained.txt").open("a") as stream:
    stream.write(f"{options.seed}\\n")
if options.seed == options.fail:
    sys.exit("no gradient")
"""


def ensemble(folder: Path, *arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Train with a script that takes no time, in `folder`."""
    script = folder / "quick.py"
    script.write_text(SCRIPT)
    command = [sys.executable, str(ROOT / "examples" / "ensemble.py"), "--script", str(script)]
    return subprocess.run(
        [*command, "--out", str(folder / "out"), *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def trained(folder: Path) -> list[int]:
    """The seeds in the order in which their members were trained."""
    return [int(line) for line in (folder / "out" / "trained.txt").read_text().splitlines()]


def test_members_are_the_same_to_the_bit_alone_and_together(tmp_path: Path) -> None:
    own = ("--network", "fc", "--short")
    lines = run_example("ensemble.py", "--members", "2", "--jobs", "2", "--out", tmp_path / "two", "--", *own)
    assert lines[-1] == (
        f"bprune infer --case-dir {tmp_path}/two/member_0 --case-dir {tmp_path}/two/member_1 "
        f"--out {tmp_path}/two/results.h5"
    )
    run_example("ensemble.py", "--members", "2", "--member", "1", "--out", tmp_path / "one", "--", *own)
    first, second, alone = (
        [path.read_bytes() for path in sorted((tmp_path / folder).glob("model-*.data*"))]
        for folder in ("two/member_0", "two/member_1", "one/member_1")
    )
    assert len(alone) == 2  # checkpoints
    assert second == alone
    assert first != second


def test_what_is_there_is_not_trained_again(tmp_path: Path) -> None:
    first = ensemble(tmp_path, "--members", "3", "--member", "1")
    assert first.returncode == 0, first.stderr
    assert "still missing of 3 members: 0, 2" in first.stdout
    assert "bprune infer" not in first.stdout
    second = ensemble(tmp_path, "--members", "3", "--jobs", "2")
    assert second.returncode == 0, second.stderr
    seeds = [member_seed(0, number) for number in range(3)]
    assert sorted(trained(tmp_path)) == sorted(seeds)
    assert trained(tmp_path)[0] == seeds[1]
    record = json.loads((tmp_path / "out" / "member_2" / RECORD).read_text())
    assert (record["member"], record["seed"], record["script"]) == (2, seeds[2], "quick.py")
    other = ensemble(tmp_path, "--members", "3", "--seed", "1")
    assert other.returncode == 1
    assert "member_0 has other seed; choose another --out, or remove it" in other.stderr
    assert len(trained(tmp_path)) == 3


def test_a_member_that_fails_leaves_a_log_and_no_case(tmp_path: Path) -> None:
    seed = str(member_seed(0, 0))
    done = ensemble(tmp_path, "--members", "2", "--", "--fail", seed)
    assert done.returncode == 1
    assert f"member 0 ended with exit code 1; see {tmp_path}/out/member_0.log: no gradient" in done.stderr
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"member_0.log", "member_1", "member_1.log", "trained.txt"}


def test_ranks_of_a_parallel_job_share_the_members(tmp_path: Path) -> None:
    for rank in ("1", "0"):
        done = ensemble(tmp_path, "--members", "3", PMI_RANK=rank, PMI_SIZE="2")
        assert done.returncode == 0, done.stderr
    seeds = [member_seed(0, number) for number in range(3)]
    assert trained(tmp_path) == [seeds[1], seeds[0], seeds[2]]
    seed, threads, ranks = json.loads((tmp_path / "out" / "member_1" / "seen.json").read_text())
    assert (seed, threads) == (seeds[1], "1")
    assert "PMI_RANK" not in ranks  # a member writes its case whatever its trainer's rank was


def test_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = parse(["--members", "4", "--seed", "3", "--", "--epochs", "2"])
    members = plan(options)
    assert members[0].script == "digits.py"
    assert [item.arguments for item in members] == [("--epochs", "2")] * 4
    assert len({item.seed for item in members}) == 4
    assert mine(members, 2, {"PMI_RANK": "0", "PMI_SIZE": "2"}) == [members[2]]
    assert mine(members, None, {}) == members
    assert child_environment(2)["TF_NUM_INTRAOP_THREADS"] == "2"
    for arguments, message in (
        (["--members", "0"], "at least 1"),
        (["--member", "3"], "--member 3 is not one of 3, counted from 0"),
        (["--script", str(tmp_path / "none.py")], "there is no script"),
    ):
        with pytest.raises(SystemExit, match="2"):
            parse(arguments)
        assert message in capsys.readouterr().err
