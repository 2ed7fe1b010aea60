"""`bprune sweep`, and budgets: on the sample cases, with another seed afterwards."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import bprune
from bprune.errors import InputError, TargetError, UsageError
from bprune.inference.data import Dataset
from bprune.judgement import Limit, Sweep, budget_of, largest_sparsity, read_sweep
from bprune.metrics import Estimate
from tests.commands.test_commands import run_json

GRID = ("--sparsity", "0.5", "--sparsity", "0.8", "--mc-iters", "20")


@pytest.fixture(scope="module")
def digits(samples: Path) -> str:
    return str(samples / "digits_conv")


def test_sweep_writes_file_table_and_picture(digits: str, tmp_path: Path) -> None:
    more = ("--csv", "s.csv", "--plot", "s.svg", "--examples", "60")
    content = run_json("sweep", "--case-dir", digits, *GRID, *more, cwd=tmp_path)
    assert content["schema"] == "bprune-sweep 1"
    assert content["sweep"] == "digits_conv-sweep.h5"
    assert content["search"] is None
    assert [point["nonzeros"] for point in content["points"]] == [21280, 10640, 4256]
    kept = read_sweep(tmp_path / "digits_conv-sweep.h5")
    assert kept.command.startswith("bprune")
    assert kept.examples == 60
    assert content["points"][1]["metrics"]["nll"]["value"] == kept.points[1].metrics["nll"].value
    with (tmp_path / "s.csv").open(newline="") as stream:
        assert [row["nonzeros"] for row in csv.DictReader(stream)] == ["21280", "10640", "4256"]
    assert "<svg" in (tmp_path / "s.svg").read_text()


def test_sweep_prints_a_table(digits: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from bprune.cli import run

    out = str(tmp_path / "s.h5")
    arguments = ["sweep", "--case-dir", digits, *GRID, "--examples", "60", "--out", out]
    assert run([*arguments, "--sparsity", "0.9995"]) == 0
    captured = capsys.readouterr()
    for word in ("pruned", "multiply-adds", "accuracy", "change", "80.0%", "4,256", "60 examples, 20 draws"):
        assert word in captured.out
    assert "left out, since a layer would lose all its weights: the sparsities 0.9995" in captured.err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--threshold", "1", "--sparsity", "0.5"], 2, "not over both"),
        (["--sparsity", "1.5"], 2, "--sparsity"),
        (["--threshold", "-1"], 2, "must be a number of at least 0"),
        (["--threshold", "1", "--scope", "layer"], 2, "the scope layer goes with a sparsity"),
        (["--confidence", "0.9"], 2, "--confidence goes with a budget"),
        (["--max-rmse-rise", "1"], 2, "--max-rmse-rise does not go with this network"),
        (["--plot", "s.xyz"], 2, "pictures are written as"),
        (["--csv", "no/such/folder.csv"], 6, "folder does not exist"),
        (["--criterion", "kl-bits"], 2, "is a report"),
    ],
)
def test_mistakes_are_told_before_anything_is_run(
    digits: str, tmp_path: Path, arguments: list[str], code: int, message: str
) -> None:
    error = run_json("sweep", "--case-dir", digits, *arguments, cwd=tmp_path, code=code)["error"]
    assert message in error["message"]
    assert list(tmp_path.iterdir()) == []


def test_a_budget_that_nothing_keeps_has_its_own_code(digits: str, tmp_path: Path) -> None:
    """The points stay, and the message tells the nearest, and why 60 examples are too few."""
    more = ("--examples", "60", "--max-accuracy-drop", "0.001")
    error = run_json("sweep", "--case-dir", digits, *GRID, *more, cwd=tmp_path, code=3)["error"]
    assert "no sparsity keeps the budget accuracy drop 0.001" in error["message"]
    assert "nearest is a sparsity of" in error["message"]
    assert "60 examples cannot show" in error["hint"]
    kept = read_sweep(tmp_path / "digits_conv-sweep.h5")
    assert kept.finished
    assert json.loads(kept.search)["sparsity"] is None
    assert len(kept.points) > 3


def _fresh(case: str, sparsities: list[float], seed: int) -> list[Mapping[str, Estimate]]:
    found: Sweep = bprune.sweep(case, sparsities=sparsities, mc_iters=60, seed=seed)
    return [point.differences for point in found.points[1:]]


def test_prune_within_a_budget_holds_in_a_fresh_run(digits: str, tmp_path: Path) -> None:
    budget = ("--max-accuracy-drop", "0.02", "--max-nll-rise", "0.03")
    content = run_json("prune", "--case-dir", digits, *budget, "--mc-iters", "40", cwd=tmp_path)
    search = content["search"]
    assert 0.5 < search["sparsity"] < 0.95
    assert content["total"]["sparsity"] == pytest.approx(search["sparsity"], abs=1e-4)
    record = json.loads((tmp_path / "digits_conv-pruned" / "pruning.json").read_text())
    assert record["search"] == search
    assert record["sparsity_target"] == search["sparsity"]
    fresh, beyond = _fresh(digits, [search["sparsity"], 0.95], seed=17)
    assert -fresh["accuracy"].value <= 0.02
    assert fresh["nll"].value <= 0.03
    assert -beyond["accuracy"].value > 0.02, "the control: far beyond the budget, the same check fails"
    assert run_json("inspect", "--case-dir", "digits_conv-pruned", cwd=tmp_path)["pruned"] is True


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--sparsity", "0.5"], "a budget finds the sparsity"),
        (["--layer-threshold", "den_1=2"], "a budget finds the sparsity"),
        (["--mc-iters", "auto"], "fixed number of draws"),
        (["--mc-iters", "1"], "no MC standard error"),
    ],
)
def test_what_does_not_go_with_a_budget(digits: str, tmp_path: Path, arguments: list[str], message: str) -> None:
    more = ("--max-accuracy-drop", "0.02", *arguments)
    error = run_json("prune", "--case-dir", digits, *more, cwd=tmp_path, code=2)["error"]
    assert message in error["message"]
    assert list(tmp_path.iterdir()) == []


def test_a_regression_within_a_budget(samples: Path) -> None:
    budget = budget_of(0.9, max_rmse_rise=0.05)
    assert budget is not None
    found = largest_sparsity(samples / "regression_1d", budget, mc_iters=40)
    assert found.best is not None
    assert found.best.bounds["rmse"] <= 0.05
    assert found.best.qualifies


def test_a_budget_needs_labels_and_a_metric(samples: Path, digits: str) -> None:
    from bprune.inference.data import read_data

    heldout = read_data(samples / "digits_conv" / "heldout.npz")
    budget = budget_of(max_accuracy_drop=0.02)
    assert budget is not None
    with pytest.raises(InputError, match="has no labels"):
        largest_sparsity(digits, budget, Dataset(heldout.inputs[:10], None, "x"))
    with pytest.raises(UsageError, match="--max-accuracy-drop does not go with this network"):
        largest_sparsity(samples / "regression_1d", budget)
    few: dict[str, Any] = {"mc_iters": 4}
    with pytest.raises(TargetError, match="nearest"):
        largest_sparsity(digits, budget, Dataset(heldout.inputs[:30], heldout.labels[:30], "x"), **few)  # type: ignore[index]
    assert Limit("ece", 0.1).option == "--max-ece-rise"
