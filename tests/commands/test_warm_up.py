"""`bprune doctor --warm-up`: kernels are compiled ahead, all of them."""

from __future__ import annotations

import contextlib
import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from bprune.cli import run
from bprune.engines import health
from bprune.engines.health import Kernels


def _warm_up(*arguments: str) -> tuple[int, str, str]:
    """Exit code, standard output and standard error."""
    output, errors = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
        code = run(["doctor", "--warm-up", *arguments])
    return code, output.getvalue(), errors.getvalue()


def test_it_tells_where_kernels_are_kept() -> None:
    code, output, _ = _warm_up("--json")
    kernels = json.loads(output)["kernels"]
    assert (code, kernels["problem"]) == (0, "")
    assert Path(kernels["cache"]).is_dir()
    code, output, errors = _warm_up()
    assert (code, errors) == (0, "")
    assert "all loaded" in output
    assert "GFLOP/s" not in output, "nothing is measured"
    assert _warm_up("--quiet") == (0, "", "")


@pytest.mark.parametrize(
    ("kernels", "code", "message"),
    [
        (Kernels("", "", None, 1.0), 6, "no folder can be written in which compiled kernels are kept"),
        (Kernels("numba cannot be used: ImportError: no", "", None, None), 7, "numba cannot be used"),
    ],
)
def test_what_fails_has_its_exit_code(
    monkeypatch: pytest.MonkeyPatch, kernels: Kernels, code: int, message: str
) -> None:
    monkeypatch.setattr(health, "try_kernels", lambda: kernels)
    found, output, errors = _warm_up()
    assert (found, output) == (code, "")
    assert message in errors


_EVERYTHING = """
import sys
import numpy as np
from pathlib import Path
from bprune.engines.health import try_kernels
from bprune.engines.native.jit import ready_kernels
assert not try_kernels().problem
ahead = ready_kernels()
from bprune import load_case
from bprune.engines.choose import prepare_engine
from bprune.posterior import read_network
from bprune.pruning import Rule, choose_masks
from bprune.inference.timing import DrawLoop
for folder in sorted(Path(sys.argv[1]).iterdir()):
    case = load_case(folder)
    network = read_network(case)
    with np.load(folder / "heldout.npz", allow_pickle=False) as file:
        inputs = file["x"][:20].astype(case.graph.input_dtype)
    for sparsity in (0.0, 0.9):
        masks = choose_masks(network, Rule(threshold=None, sparsity=sparsity))
        for sampling in ("per-example", "weights"):
            engine = prepare_engine(case, network, masks, name="native", sampling=sampling).engine
            engine.prepare(len(inputs))
            engine.draw(inputs, range(2))
            engine.draw_some(inputs, range(2), np.arange(len(inputs)))
            DrawLoop(engine, inputs, 2)()
for known in (ahead, {name: kinds for name, kinds in ahead.items() if name != "run_chain"}):
    print([name for name, kinds in ready_kernels().items() if not set(kinds) <= set(known.get(name, []))])
"""


def test_a_run_needs_no_kernel_that_was_not_compiled_ahead(samples: Path) -> None:
    """In a process of its own, on all sample cases, whole and pruned; the same types of arguments, too.

    A kernel that is left out, a planted bug, is noticed.
    """
    command = [sys.executable, "-c", _EVERYTHING, str(samples)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.stdout.splitlines() == ["[]", "['run_chain']"], done.stderr
