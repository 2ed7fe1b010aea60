"""The benchmark runs on the sample cases, without the shared data, and both of its sides are the same network."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.examples.command_line import ROOT


def run(*arguments: str, shared: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "BPRUNE_SHARED_DATA": str(shared), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(ROOT / "benchmarks" / "mc_inference.py"), "--quick", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=300)


def test_the_sample_cases_are_timed_without_the_shared_data(tmp_path: Path) -> None:
    out = tmp_path / "numbers" / "bench.json"
    done = run("--sparsity", "0", "0.6", "--precision", "float32", "bfloat16", "--json", str(out), shared=tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    content = json.loads(out.read_text(encoding="utf-8"))
    assert content["machine"]["cores"] >= 1
    rows = content["rows"]
    assert [(row["network"], row["sparsity"]) for row in rows[::2]] == [
        (name, sparsity) for name in ("digits_fc", "digits_conv") for sparsity in (0.0, 0.6)
    ]
    for row in rows:
        assert row["precision"] in {"float32", "bfloat16"}
        assert row["accuracy"] > 0.9
        assert row["ratio"] == pytest.approx(row["tfp_us"] / row["bprune_us"])
        assert row["units"][-1] == 10
        assert f"{row['ratio']:.1f}" in done.stdout
    assert [row["precision"] for row in rows[::2]] == ["float32"] * 4


def test_the_networks_of_the_paper_need_the_shared_data(tmp_path: Path) -> None:
    done = run("--network", "fc", shared=tmp_path)
    assert done.returncode == 1
    assert "needs the shared data; set BPRUNE_SHARED_DATA" in done.stderr


_BOTH_SIDES = """
import sys
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
loop = TfpLoop(trained.model, inputs)
for sparsity in (0.0, 0.8):
    masks = choose_masks(network, Rule(threshold=None, sparsity=sparsity))
    trained.prune(masks)
    ours = GraphEngine(case, network, masks, 0).draw(inputs, range(400)).values
    error = np.maximum(ours.std(0) * np.sqrt(2 / 400), 1e-4)
    assert np.max(np.abs(loop.draw(400) - ours.mean(0)) / error) < 6.5, sparsity
trained.prune({name: np.zeros_like(mask) for name, mask in masks.items()})
assert np.ptp(loop.draw(3), axis=0).max() < 1e-6
"""


def test_both_sides_have_the_same_posterior(tmp_path: Path) -> None:
    """Means over 400 draws, 400 probabilities, whole and pruned: 6.5 standard errors, false-alarm rate below 1e-6."""
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
