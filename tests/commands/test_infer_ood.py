"""`bprune infer --ood-data`: how well uncertainty tells examples of another kind apart."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bprune import open_results
from bprune.cli import run


def infer(*arguments: str | Path) -> tuple[int, str]:
    """Exit code and standard output."""
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        code = run(["infer", *map(str, arguments)])
    return code, output.getvalue()


@pytest.fixture(name="noise")
def _noise(tmp_path: Path) -> Path:
    """Pictures that are no digits, with labels that are no classes."""
    path = tmp_path / "noise.npz"
    pixels = np.random.default_rng(0).uniform(0.0, 1.0, (60, 8, 8, 1)).astype(np.float32)
    np.savez(path, x=pixels, y=np.full(60, 77))
    return path


def test_noise_is_told_from_digits(samples: Path, noise: Path, tmp_path: Path) -> None:
    out = tmp_path / "digits.h5"
    common = ("--case-dir", samples / "digits_conv", "--examples", "100", "--mc-iters", "40", "--out", out)
    code, text = infer(*common, "--ood-data", noise)
    assert code == 0
    assert "60 examples of another kind are told apart" in text
    with open_results(out) as results, open_results(tmp_path / "digits-ood.h5") as other:
        aurocs = results.metrics((), ood=other)
        assert other.labels is None
        assert len(other.summary.mean) == 60
    assert set(aurocs) == {"ood_auroc_entropy", "ood_auroc_mutual_information"}
    assert 0.8 < aurocs["ood_auroc_entropy"].value <= 1.0
    assert f"{aurocs['ood_auroc_entropy'].value:.4g}" in text
    code, text = infer(*common, "--ood-data", noise, "--overwrite", "--json")
    content: dict[str, Any] = json.loads(text)
    assert content["ood_results"] == str(tmp_path / "digits-ood.h5")
    assert content["ood_metrics"]["ood_auroc_entropy"]["value"] == pytest.approx(aurocs["ood_auroc_entropy"].value)


def test_the_same_examples_are_not_told_apart(samples: Path, tmp_path: Path) -> None:
    with np.load(samples / "digits_conv" / "heldout.npz") as file:
        np.savez(tmp_path / "same.npz", x=file["x"][180:])
        np.savez(tmp_path / "half.npz", x=file["x"][:180], y=file["y"][:180])
    arguments = ("--case-dir", samples / "digits_conv", "--data", tmp_path / "half.npz", "--mc-iters", "20", "--json")
    code, text = infer(*arguments, "--out", tmp_path / "a.h5", "--ood-data", tmp_path / "same.npz")
    assert code == 0
    item = json.loads(text)["ood_metrics"]["ood_auroc_entropy"]
    assert abs(item["value"] - 0.5) < 5.0 * item["data_stderr"]  # false alarms: 6e-7


def test_what_cannot_be_done_is_refused_before_anything_runs(
    samples: Path, noise: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "r.h5"
    assert infer("--case-dir", samples / "regression_1d", "--out", out, "--ood-data", noise)[0] == 2
    assert "the case is a regression" in capsys.readouterr().err
    (tmp_path / "r-ood.h5").write_bytes(b"kept")
    assert infer("--case-dir", samples / "digits_conv", "--out", out, "--ood-data", noise)[0] == 6
    assert "exists already" in capsys.readouterr().err
    assert not out.exists()
    assert (tmp_path / "r-ood.h5").read_bytes() == b"kept"
