"""--mc-iters auto, --target-stderr, --max-mc-iters and --antithetic on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from bprune import open_results
from tests.commands.test_commands import run_json


def test_draws_until_settled(samples: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ("--mc-iters", "auto", "--max-mc-iters", "96", "--examples", "40")
    content = run_json("infer", "--case-dir", samples / "digits_fc", *arguments, cwd=tmp_path)
    assert content["stopping"]["rule"] == "top-class"
    assert content["stopping"]["max_mc_iters"] == 96
    assert 16 <= content["mean_draws"] < 60
    assert "the summary alone is stored" in capsys.readouterr().err
    with open_results(tmp_path / content["results"]) as results:
        assert results.run.mc_iters == content["mc_iters"] == results.draws_made.max()
        assert results.draws() is None
        assert results.run.antithetic is False


def test_a_target_and_pairs(samples: Path, tmp_path: Path) -> None:
    arguments = ("--target-stderr", "0.03", "--max-mc-iters", "1000", "--antithetic", "--engine", "native")
    content = run_json("infer", "--case-dir", samples / "digits_fc", *arguments, "--examples", "9", cwd=tmp_path)
    assert content["stopping"]["target_stderr"] == 0.03
    assert content["antithetic"] is True
    with open_results(tmp_path / content["results"]) as results:
        assert (results.summary.mc_stderr[results.draws_made < 1000] <= 0.03).all()
        assert not (results.draws_made % 2).any()


def test_a_fixed_number_says_so(samples: Path, tmp_path: Path) -> None:
    arguments = ("--mc-iters", "12", "--antithetic", "--engine", "native", "--examples", "5")
    content = run_json("infer", "--case-dir", samples / "digits_fc", *arguments, cwd=tmp_path)
    assert (content["stopping"], content["mean_draws"], content["mc_iters"]) == (None, 12.0, 12)
    with open_results(tmp_path / content["results"]) as results:
        draws = results.draws()
        assert draws is not None
        assert draws.values.shape == (12, 5, 10)
        assert results.run.antithetic is True


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--mc-iters", "auto", "--draws", "all"), "same number"),
        (("--mc-iters", "20", "--target-stderr", "0.1"), "does not go with a target"),
        (("--mc-iters", "20", "--max-mc-iters", "30"), "goes with --mc-iters auto"),
        (("--mc-iters", "many"), "not a valid integer"),
        (("--mc-iters", "0"), "0 is not in the range"),
        (("--mc-iters", "5", "--antithetic", "--engine", "native"), "5 draws cannot be paired"),
        (("--antithetic", "--engine", "tensorflow"), "the engine tensorflow does not draw antithetic pairs"),
        (("--antithetic", "--sampling", "as-trained"), "this run uses graph: only the graph samples"),
    ],
)
def test_what_does_not_go_together(samples: Path, tmp_path: Path, options: tuple[str, ...], message: str) -> None:
    content = run_json("infer", "--case-dir", samples / "digits_fc", *options, cwd=tmp_path, code=2)
    assert message in content["error"]["message"]
    assert list(tmp_path.iterdir()) == []


def test_a_regression_is_told_what_to_do(samples: Path, tmp_path: Path) -> None:
    content = run_json("infer", "--case-dir", samples / "regression_1d", "--mc-iters", "auto", cwd=tmp_path, code=2)
    assert "--target-stderr" in content["error"]["hint"]


@pytest.mark.parametrize(
    "options", [("--mc-iters", "auto"), ("--target-stderr", "0.12", "--antithetic", "--engine", "native")]
)
def test_prune_draws_until_settled_before_and_after(samples: Path, tmp_path: Path, options: tuple[str, ...]) -> None:
    """The source takes as many draws as `infer` makes of it, and has the same accuracy; the results file of the pruned
    case holds the realised numbers."""
    common = ("--case-dir", str(samples / "digits_fc"), *options, "--max-mc-iters", "192", "--examples", "40")
    content = run_json("prune", *common, "--threshold", "1", cwd=tmp_path)
    source = run_json("infer", *common, cwd=tmp_path)
    assert content["mean_draws"]["before"] == source["mean_draws"] < 180
    assert content["before"]["accuracy"]["value"] == source["metrics"]["accuracy"]["value"]
    with open_results(tmp_path / content["results"]) as results:
        assert results.draws_made.mean() == content["mean_draws"]["after"]
        assert results.draws_made.max() <= 96 or "auto" in options
        assert np.unique(results.draws_made).size > 1 or "auto" not in options
        assert results.run.mc_iters == results.draws_made.max()
        assert results.run.antithetic is ("--antithetic" in options)
        assert json.loads(results.run.stopping)["max_mc_iters"] == 192
        assert results.metrics()["accuracy"].value == content["after"]["accuracy"]["value"]


def test_prune_refuses_a_rule_that_does_not_fit_before_it_writes(samples: Path, tmp_path: Path) -> None:
    arguments = ("--case-dir", samples / "regression_1d", "--threshold", "0.1", "--mc-iters", "auto")
    content = run_json("prune", *arguments, cwd=tmp_path, code=2)
    assert "--target-stderr" in content["error"]["hint"]
    assert list(tmp_path.iterdir()) == []
