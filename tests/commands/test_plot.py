"""`bprune plot` as users see it: where pictures go, what is printed, and how it ends."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from bprune.judgement import write_sweep
from tests.commands.test_commands import bprune, run_json
from tests.plots.plots_world import classification, regression, sweep, two_classes


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    draws = two_classes(np.random.default_rng(0).random((20, 9)))
    return classification(tmp_path_factory.mktemp("plot") / "toy-results.h5", draws, np.arange(9) % 2)


@pytest.mark.parametrize("kind", ["pdf", "convergence", "reliability", "risk-coverage", "uncertainty"])
def test_pictures_of_results_go_to_the_current_folder(results: Path, tmp_path: Path, kind: str) -> None:
    before = results.read_bytes()
    content = run_json("plot", kind, results, cwd=tmp_path)
    assert content["schema"] == "bprune-plot 1"
    assert (content["kind"], content["picture"]) == (kind, f"toy-results-{kind}.png")
    assert content["data"]
    assert [path.name for path in tmp_path.iterdir()] == [content["picture"]]
    assert results.read_bytes() == before


def test_json_holds_the_data(results: Path, tmp_path: Path) -> None:
    content = run_json("plot", "pdf", results, "--example", "4", "--class", "1", cwd=tmp_path)
    item = content["data"]["examples"][0]
    assert (item["example"], item["classes"], item["label"]) == (4, [1], 0)
    assert len(item["densities"][0][0]) == len(content["data"]["grid"]) == 201
    content = run_json("plot", "risk-coverage", results, "--by", "entropy", "--name", "mine", cwd=tmp_path)
    assert content["data"]["ranking"] == "entropy"
    assert content["data"]["curves"][0]["name"] == "mine"


def test_pictures_of_a_case(mixed_case: Path, tmp_path: Path) -> None:
    content = run_json("plot", "snr", "--case-dir", mixed_case, "--axis", "db", "--threshold", "1", cwd=tmp_path)
    assert content["picture"] == "mixed-snr.png"
    assert content["data"]["axis"] == "db"
    assert sum(item["weights"] for item in content["data"]["series"][:-1]) == 159
    content = run_json("plot", "masks", "--case-dir", mixed_case, "--sparsity", "0.5", "--out", "m.svg", cwd=tmp_path)
    assert sum(item["nonzeros"] for item in content["data"]["panels"]) == 79
    assert "density" not in content["data"]["panels"][0]
    assert "lowest snr" in (tmp_path / "m.svg").read_text()


def test_a_pruned_case_shows_its_own_masks_and_threshold(mixed_case: Path, tmp_path: Path) -> None:
    run_json("prune", "--case-dir", mixed_case, "--threshold", "1.5", "--no-infer", "--out", "p", cwd=tmp_path)
    marked = run_json("plot", "snr", "--case-dir", "p", cwd=tmp_path)["data"]
    assert marked["threshold"] == 1.5
    shown = run_json("plot", "masks", "--case-dir", "p", cwd=tmp_path)["data"]["panels"]
    zeros = sum(item["weights"] - item["nonzeros"] for item in shown)
    assert zeros == round(marked["series"][-1]["zeros"] * 159)
    assert zeros > 0


def test_sweeps_and_regressions(tmp_path: Path) -> None:
    for name in ("snr", "bmr"):
        write_sweep(sweep(name), tmp_path / f"{name}.h5")
    content = run_json(
        "plot", "sweep", "snr.h5", "bmr.h5", "--metric", "nll", "--difference", "--out", "s.pdf", cwd=tmp_path
    )
    assert [curve["name"] for curve in content["data"]["panels"][0]["curves"]] == ["snr", "bmr"]
    assert content["data"]["difference"] is True
    write_sweep(dataclasses.replace(sweep(), finished=False), tmp_path / "part.h5")
    done = bprune("plot", "sweep", "part.h5", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "part.h5 is not finished: it has 4 points so far.\n")
    assert done.stdout == "picture: part-sweep.png\n"
    values = np.ones((5, 4, 1))
    regression(tmp_path / "values.h5", values, values, np.arange(4.0)[:, None], np.zeros((4, 1)))
    assert run_json("plot", "regression", "values.h5", cwd=tmp_path)["data"]["mean"] == [1.0] * 4
    assert (tmp_path / "s.pdf").read_bytes().startswith(b"%PDF")


def test_what_people_see(results: Path, tmp_path: Path) -> None:
    done = bprune("plot", "reliability", results, "--out", "r.svg", "--title", "Mine", "--size", "6x5", cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "picture: r.svg\n", "")
    text = (tmp_path / "r.svg").read_text()
    assert "Mine" in text
    assert 'width="432pt" height="360pt"' in text


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["pdf", "RESULTS", "--example", "9"], 2, "there is no example 9"),
        (["pdf", "RESULTS", "--out", "a.jpg"], 2, "png, svg, pdf"),
        (["pdf", "RESULTS", "--size", "big"], 2, "is not WIDTHxHEIGHT"),
        (["pdf"], 2, "Missing argument"),
        (["pie", "RESULTS"], 2, "No such command"),
        (["regression", "RESULTS"], 4, "is of a classification"),
        (["sweep", "RESULTS"], 4, "sweep"),
        (["pdf", "none.h5"], 4, "there is no results file"),
        (["pdf", "RESULTS", "--out", "none/a.png"], 6, "does not exist"),
        (["pdf", "RESULTS", "--out", "old.png"], 6, "exists already"),
    ],
)
def test_what_is_missing_is_told_and_nothing_is_left(
    results: Path, tmp_path: Path, arguments: list[str], code: int, message: str
) -> None:
    (tmp_path / "old.png").write_bytes(b"old")
    chosen = [str(results) if item == "RESULTS" else item for item in arguments]
    content = run_json("plot", *chosen, cwd=tmp_path, code=code)
    assert message in content["error"]["message"]
    assert [path.name for path in tmp_path.iterdir()] == ["old.png"]
    assert (tmp_path / "old.png").read_bytes() == b"old"
