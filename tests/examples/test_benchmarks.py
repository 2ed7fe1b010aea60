"""The benchmark runs on the sample cases, without the shared data, and both of its sides are the same network."""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.examples.command_line import ROOT


def run(*arguments: str, shared: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "BPRUNE_SHARED_DATA": str(shared), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(ROOT / "benchmarks" / "mc_inference.py"), "--quick", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=300)


def test_the_sample_cases_are_timed_without_the_shared_data(tmp_path: Path) -> None:
    out, page = tmp_path / "numbers" / "bench.json", tmp_path / "page.md"
    page.write_text("before\n<!-- table -->\nold\n<!-- /table -->\nafter\n", encoding="utf-8")
    options = ("--sparsity", "0.6", "--rounds", "1", "--precision", "float32", "bfloat16", "--loop", "--json", str(out))
    done = run(*options, "--markdown", str(page), shared=tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    content = json.loads(out.read_text(encoding="utf-8"))
    assert content["machine"]["cores"] >= 1
    rows = content["rows"]
    assert [(row["network"], row["sparsity"]) for row in rows[::3]] == [("digits_fc", 0.6), ("digits_conv", 0.6)]
    assert [row["engine"] for row in rows] == ["tensorflow", "tensorflow", "native"] * 2
    assert [row["precision"] for row in rows[::3]] == [row["precision"] for row in rows[2::3]] == ["float32"] * 2
    for row in rows:
        assert row["precision"] in {"float32", "bfloat16"}
        assert row["accuracy"] > 0.9
        assert list(row["loops_us"]) == ["tfp"]
        assert row["ratio"] == pytest.approx(row["loops_us"]["tfp"] / row["bprune_us"])
        assert row["units"][-1] == 10
        assert f"{row['ratio']:.1f}" in done.stdout
    before, table, after = re.split("<!-- /?table -->", page.read_text(encoding="utf-8"))
    assert (before, after) == ("before\n", "\nafter\n")
    assert content["machine"]["cpu"] in table
    assert "old" not in table
    for row in rows:
        assert f"{row['ratio']:.1f}x" in table


def test_the_networks_of_the_paper_need_the_shared_data(tmp_path: Path) -> None:
    done = run("--network", "fc", shared=tmp_path)
    assert done.returncode == 1
    assert "needs the shared data; set BPRUNE_SHARED_DATA" in done.stderr


def test_a_table_needs_its_marks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    tables: Any = importlib.import_module("tables")
    page = tmp_path / "page.md"
    for text in ("none", "<!-- table -->", "<!-- /table --> <!-- table -->", "<!-- table --> <!-- /table -->" * 2):
        page.write_text(text, encoding="utf-8")
        with pytest.raises(ValueError, match="needs one <!-- table --> and, behind it, one"):
            tables.put_between_marks(page, "new")
        assert page.read_text(encoding="utf-8") == text
    page.write_text("<!-- table --><!-- /table -->", encoding="utf-8")
    tables.put_between_marks(page, "new")
    assert page.read_text(encoding="utf-8") == "<!-- table -->\nnew\n<!-- /table -->"


def test_the_page_has_the_marks() -> None:
    text = (ROOT / "docs" / "performance.md").read_text(encoding="utf-8")
    assert (text.count("<!-- table -->"), text.count("<!-- /table -->")) == (1, 1)


@pytest.mark.parametrize("name", ["jax", "torch"])
def test_a_loop_that_is_not_installed_is_refused(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    script: Any = importlib.import_module("mc_inference")
    monkeypatch.setattr(sys, "argv", ["mc_inference.py", "--loop", name])
    monkeypatch.setattr(importlib.util, "find_spec", lambda item: None)
    with pytest.raises(SystemExit, match="2"):
        script.parse()
    assert f"--loop {name}: {name} is not installed" in capsys.readouterr().err


_BOTH_SIDES = """
import sys
from importlib.util import find_spec
import numpy as np
from networks import load
from tfp_loop import TfpLoop
from bprune import load_case
from bprune.engines.graph import GraphEngine
from bprune.posterior import read_network
from bprune.pruning import Rule, choose_masks
trained = load("digits_conv")
case = load_case(trained.write(sys.argv[1]))
network = read_network(case)
inputs = trained.inputs[:40]
loops = [TfpLoop(trained.model, inputs)]
if find_spec("jax"):
    from jax_loop import JaxLoop
    loops.append(JaxLoop(trained, inputs))
if find_spec("torch"):
    from torch_loop import TorchLoop
    loops.append(TorchLoop(trained, inputs))
for sparsity in (0.0, 0.8):
    masks = choose_masks(network, Rule(threshold=None, sparsity=sparsity))
    trained.prune(masks)
    ours = GraphEngine(case, network, masks, 0).draw(inputs, range(400)).values
    error = np.maximum(ours.std(0) * np.sqrt(2 / 400), 1e-4)
    for loop in loops:
        if loop is not loops[0]:
            loop.prune(masks)
        assert np.max(np.abs(loop.draw(400) - ours.mean(0)) / error) < 6.5, (loop, sparsity)
nothing = {name: np.zeros_like(mask) for name, mask in masks.items()}
trained.prune(nothing)
assert np.ptp(loops[0].draw(3), axis=0).max() < 1e-6
for loop in loops[1:]:
    loop.prune(nothing)
    assert np.ptp(loop.draw(3), axis=0).max() < 1e-6
"""


def test_both_sides_have_the_same_posterior(tmp_path: Path) -> None:
    """Means over 400 draws, 400 probabilities, whole and pruned: 6.5 standard errors, false-alarm rate below 1e-6.

    The loops in JAX and PyTorch are compared as well where these are installed.
    """
    paths = os.pathsep.join([str(ROOT / "benchmarks"), str(ROOT)])
    environment = {**os.environ, "PYTHONPATH": paths}
    done = subprocess.run(
        [sys.executable, "-c", _BOTH_SIDES, str(tmp_path / "case")],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
