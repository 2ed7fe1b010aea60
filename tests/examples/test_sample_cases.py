"""The bundled sample cases: they load, they predict as they did when they were made, and they can be pruned."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bprune import load_case, open_results
from bprune.cli import run
from bprune.inference.statistics import RegressionSummary
from tests.examples.command_line import run_json

WEIGHTS = {"digits_fc": 8832, "digits_conv": 21280, "regression_1d": 1760}
SIZE_LIMIT_BYTES = 2_000_000


def infer(case: Path, out: Path, *arguments: str) -> Any:
    """Metrics of 50 draws of the held-out examples."""
    content = run_json("infer", "--case-dir", case, "--mc-iters", "50", "--out", out, *arguments)
    return {name: item["value"] for name, item in content["metrics"].items()}


@pytest.mark.parametrize("name", WEIGHTS)
def test_case_loads_without_options(name: str, samples: Path) -> None:
    case = load_case(samples / name)
    content = run_json("inspect", "--case-dir", samples / name)
    assert content["total"]["weights"] == content["total"]["nonzeros"] == WEIGHTS[name]
    assert content["unpruned"] == []
    assert case.files.heldout is not None
    with np.load(case.files.heldout) as heldout:
        assert heldout["x"].dtype == np.float32
        assert len(heldout["x"]) == len(heldout["y"]) == 360
        if name != "regression_1d":
            assert heldout["x"].min() == 0.0
            assert heldout["x"].max() == 1.0
            assert np.min(np.bincount(heldout["y"])) >= 34  # stratified


def test_samples_are_small(samples: Path) -> None:
    files = [path for path in samples.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < SIZE_LIMIT_BYTES
    assert {path.parent.name for path in files} >= set(WEIGHTS)


def test_digits_conv_predicts_as_it_did(samples: Path, tmp_path: Path) -> None:
    scores = infer(samples / "digits_conv", tmp_path / "results.h5")
    assert scores["accuracy"] > 0.97
    assert scores["nll"] < 0.08


def test_digits_fc_predicts_as_it_did_at_both_iterations(samples: Path, tmp_path: Path) -> None:
    case = samples / "digits_fc"
    assert [item.number for item in load_case(case).files.iterations] == [2250, 4500]
    for checkpoint in ("2250", "4500"):
        scores = infer(case, tmp_path / f"{checkpoint}.h5", "--checkpoint", checkpoint)
        assert scores["accuracy"] > 0.94


def test_regression_doubts_where_it_has_no_data(samples: Path, tmp_path: Path) -> None:
    scores = infer(samples / "regression_1d", tmp_path / "results.h5")
    assert 0.13 < scores["rmse"] < 0.20
    with open_results(tmp_path / "results.h5") as results:
        inputs, summary = results.inputs[:, 0], results.summary
    assert isinstance(summary, RegressionSummary)
    epistemic = summary.epistemic_stddev[:, 0]
    gap = (inputs > 0.1) & (inputs < 0.7)
    assert epistemic[gap].mean() > 2.0 * epistemic[(inputs < -0.1) | (inputs > 0.9)].mean()


def test_default_threshold_prunes_digits_conv_harmlessly(samples: Path, tmp_path: Path) -> None:
    before = {path.name: path.read_bytes() for path in (samples / "digits_conv").iterdir()}
    out = tmp_path / "pruned"
    run_json("prune", "--case-dir", samples / "digits_conv", "--mc-iters", "50", "--out", out)
    content = run_json("inspect", "--case-dir", out)
    assert 0.5 < 1.0 - content["total"]["nonzeros"] / content["total"]["weights"] < 0.9
    assert min(item["nonzeros"] for item in content["layers"]) > 200
    with open_results(out / "results.h5") as results:
        accuracy = results.metrics()["accuracy"].value
    unpruned = infer(samples / "digits_conv", tmp_path / "unpruned.h5")
    assert accuracy == pytest.approx(unpruned["accuracy"], abs=0.015)
    assert {path.name: path.read_bytes() for path in (samples / "digits_conv").iterdir()} == before


def test_default_threshold_would_empty_digits_fc(
    samples: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "pruned"
    assert run(["prune", "--case-dir", str(samples / "digits_fc"), "--no-infer", "--out", str(out)]) == 3
    assert "leaves no weight in" in capsys.readouterr().err
    assert not out.exists()
