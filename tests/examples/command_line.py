"""Scripts and commands as a user runs them, and what they print."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from bprune.cli import run

ROOT = Path(__file__).resolve().parents[2]


def run_example(script: str, *arguments: str | Path, timeout_s: float = 300.0, **environment: str) -> list[str]:
    """Run a script of `examples/` in a process of its own.

    Args:
        script: Its file name.
        arguments: Its command line.
        timeout_s: When to give up.
        environment: Environment variables on top of this process's own.

    Returns:
        The lines of its standard output.
    """
    paths = [environment.pop("PYTHONPATH", ""), str(ROOT)]
    quiet = {
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "CUDA_VISIBLE_DEVICES": "-1",
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
    }
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / script), *map(str, arguments)],
        env={**os.environ, **quiet, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout_s,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.splitlines()


def run_json(*arguments: str | Path) -> Any:
    """Run a `bprune` command with --json in this process; the one object on standard output."""
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        assert run([*map(str, arguments), "--json", "--quiet"]) == 0, output.getvalue()
    return json.loads(output.getvalue())
