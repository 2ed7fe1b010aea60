"""`train.py` trains every network and writes a case that all commands understand, and a log."""

from __future__ import annotations

import csv
import functools
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from bprune import load_case
from examples.paper import train
from examples.paper.log import COLUMNS
from examples.paper.networks import INPUT_SHAPES, build
from tests.examples.command_line import run_example, run_json
from tests.examples.paper.tiny_data import write_npz

WIDTH = 1 / 8
"""Of the hidden layers, which costs little; test_paper_counts.py counts the whole networks."""

LAYERS = {"bnn_fc": 3, "bnn_conv": 3, "vgg16": 11, "resnet18": 14}
"""How many posteriors a case has."""


def is_colour(model: str) -> bool:
    return not model.startswith("bnn")


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs `train.py` in this process, on a narrow network: two steps of two examples unless told otherwise."""
    monkeypatch.setattr(train, "build", functools.partial(build, width=WIDTH))

    def run(model: str, folder: Path, *arguments: str, out: str = "case") -> Path:
        data = write_npz(folder / "data.npz", colour=is_colour(model))
        paths = ["--data", str(data), "--out", str(folder / out)]
        short = ["--epochs", "1", "--steps-per-epoch", "2", "--batch", "2", "--validation-examples", "0"]
        monkeypatch.setattr(sys, "argv", ["train.py", "--model", model, *paths, *short, *arguments])
        train.main()
        return folder / out

    return run


def rows_of(case: Path) -> list[dict[str, str]]:
    with open(case / "training.csv", newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def check_commands(model: str, case: Path, folder: Path) -> None:
    """The case goes through inspect, prune, infer and, where this is quick, verify."""
    content = run_json("inspect", "--case-dir", case)
    assert len(content["layers"]) == LAYERS[model]
    assert {item["kind"] for item in content["layers"]} <= {"DenseFlipout", "Conv2DFlipout"}
    assert content["input"]["shape"][1:] == list(INPUT_SHAPES[model])
    pruned = folder / "pruned"
    counts = run_json("prune", "--case-dir", case, "--sparsity", "0.5", "--no-infer", "--out", pruned)
    assert counts["total"]["nonzeros"] == pytest.approx(counts["total"]["weights"] / 2, rel=0.01)
    quick = ("--case-dir", pruned, "--engine", "tensorflow")
    inferred = run_json("infer", *quick, "--mc-iters", "2", "--out", folder / "results.h5")
    assert inferred["examples"] == 4
    if not is_colour(model):  # tests/lowering verifies the others, with the same operations
        assert run_json("verify", *quick, "--mc-iters", "100", "--examples", "1")["holds"]


@pytest.mark.parametrize("model", ["bnn_conv", "vgg16", "resnet18"])
def test_every_network_goes_through_all_commands(model: str, start: Any, tmp_path: Path) -> None:
    case = start(model, tmp_path)
    assert load_case(case).files.iteration.number == 2
    check_commands(model, case, tmp_path)


def test_the_log_says_what_was_trained_and_goes_on_with_the_training(
    start: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("--epochs", "2", "--validation-examples", "3", "--kl-anneal-epochs", "2")
    case = start("bnn_fc", tmp_path, *options)
    header = json.loads((case / "training.json").read_text(encoding="utf-8"))
    expected = {"model": "bnn_fc", "bayesian": True, "distribute": "none", "workers": 1, "batch": 2, "epochs": 2}
    assert header.items() >= {**expected, "steps_per_epoch": 2, "training_examples": 10, "seed": 0}.items()
    assert header["parameters"] == sum(item.size for item in load_case(case).checkpoint.read_all().values())
    rows = rows_of(case)
    assert tuple(rows[0]) == COLUMNS
    assert [(row["epoch"], row["steps"], row["samples"]) for row in rows] == [("1", "2", "4"), ("2", "2", "4")]
    for row in rows:
        assert float(row["samples_per_s"]) > 0
        assert 0 <= float(row["val_accuracy"]) <= 1
    assert rows[0]["samples_per_s_stddev"] == ""  # of one step, because the first one compiles
    assert float(rows[1]["samples_per_s_stddev"]) >= 0
    # With the weight of the divergence: 0 and 1/4 in the first epoch, 1/2 and 3/4 in the second.
    assert float(rows[1]["loss"]) - float(rows[0]["loss"]) > 100
    with pytest.raises(SystemExit, match="2"):
        start("bnn_fc", tmp_path, *options)
    assert "is not empty\nGo on with the training there with --resume" in capsys.readouterr().err
    start("bnn_fc", tmp_path, *options, "--epochs", "3", "--resume")
    assert [item.number for item in load_case(case).files.iterations] == [2, 4, 6]
    assert rows_of(case)[:2] == rows
    assert [row["epoch"] for row in rows_of(case)] == ["1", "2", "3"]
    check_commands("bnn_fc", case, tmp_path)


def test_a_deterministic_network_as_a_user_runs_it(tmp_path: Path) -> None:
    data, out = write_npz(tmp_path / "mnist.npz"), tmp_path / "cnn"
    options = ("--model", "bnn_fc", "--deterministic", "--epochs", "1", "--batch", "5")
    printed = run_example("paper/train.py", *options, "--data", data, "--out", out)
    assert printed[-2:] == [f"bprune inspect --case-dir {out}", f"bprune infer --case-dir {out} --mc-iters 1"]
    header = json.loads((out / "training.json").read_text(encoding="utf-8"))
    assert (header["bayesian"], header["parameters"], header["kl_weight"]) == (False, 269_322, None)
    content = run_json("inspect", "--case-dir", out)
    assert content["layers"] == []
    assert {item["layer"] for item in content["deterministic"]} == {"den_1", "den_2", "den_3"}
    assert run_json("infer", "--case-dir", out, "--mc-iters", "1", "--out", tmp_path / "r.h5")["examples"] == 4
