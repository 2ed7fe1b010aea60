"""--engine, --sampling and --precision: what runs, what is told, what is stored."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest

from bprune import infer, open_results
from bprune.commands.infer import command as infer_command
from bprune.engines import Sampling, choose
from bprune.engines.choose import EngineName
from bprune.engines.tensorflow import Precision
from bprune.errors import SelfCheckError
from tests.commands.test_commands import bprune, run_json


@pytest.mark.parametrize(
    ("option", "values"),
    [
        ("engine", [item.value for item in EngineName]),
        ("sampling", ["auto", *(item.value for item in Sampling)]),
        ("precision", [item.value for item in Precision]),
    ],
)
def test_the_options_offer_what_there_is(option: str, values: list[str]) -> None:
    (parameter,) = [item for item in infer_command.params if item.name == option]
    assert isinstance(parameter.type, click.Choice)
    assert sorted(parameter.type.choices) == sorted(values)


@pytest.mark.parametrize(
    ("options", "engine", "sampling", "precision"),
    [
        ([], "native", "weights", "float32"),
        (["--engine", "tensorflow"], "tensorflow", "weights", "float32"),
        (["--engine", "graph"], "graph", "as-trained", "float32"),
        (["--sampling", "as-trained"], "graph", "as-trained", "float32"),
        (["--engine", "tensorflow", "--precision", "bfloat16"], "tensorflow", "weights", "bfloat16"),
    ],
)
def test_what_runs_is_stored(
    mixed_case: Path, tmp_path: Path, options: list[str], engine: str, sampling: str, precision: str
) -> None:
    content = run_json("infer", "--case-dir", mixed_case, "--mc-iters", "5", *options, cwd=tmp_path)
    assert (content["engine"], content["sampling"], content["precision"]) == (engine, sampling, precision)
    with open_results(tmp_path / "mixed-results.h5") as results:
        plan = json.loads(results.run.plan)
        assert (results.run.engine, results.run.precision) == (engine, precision)
        assert precision in results.describe()
    assert (plan["engine"], plan["sampling"], plan["precision"]) == (engine, sampling, precision)
    assert bool(plan["reason"]) == (engine == "graph")
    assert plan["lines"]


def test_the_plan_is_told_with_v_alone(mixed_case: Path, tmp_path: Path) -> None:
    arguments = ("infer", "--case-dir", mixed_case, "--mc-iters", "2", "--overwrite")
    assert bprune(*arguments, cwd=tmp_path).stderr == ""
    told = bprune(*arguments, "-v", cwd=tmp_path).stderr
    assert told.startswith("engine native, sampling weights, float32, blocks of up to")
    assert "flip: dense 6x8" in told


def test_a_network_that_is_not_lowered_runs_and_the_reason_is_told(
    mixed_case: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: Any) -> None:
        raise SelfCheckError("the program differs by 0.5")

    monkeypatch.setattr(choose, "check_lowering", refuse)
    content = run_json("infer", "--case-dir", mixed_case, "--mc-iters", "2", cwd=tmp_path)
    assert content["engine"] == "graph"
    assert "The graph runs as it was trained, which is slower: the program differs by 0.5" in capsys.readouterr().err
    with open_results(tmp_path / "mixed-results.h5") as results:
        assert json.loads(results.run.plan)["reason"] == "the program differs by 0.5"
    failed = run_json("infer", "--case-dir", mixed_case, "--engine", "tensorflow", cwd=tmp_path, code=5)
    assert "differs by 0.5" in failed["error"]["message"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--engine", "graph", "--sampling", "weights"], "cannot share one set of weights"),
        (["--engine", "graph", "--precision", "bfloat16"], "--precision bfloat16 does not go with it"),
    ],
)
def test_what_does_not_go_together_is_a_usage_error(
    mixed_case: Path, tmp_path: Path, options: list[str], message: str
) -> None:
    for name in ("infer", "prune"):
        done: Any = run_json(name, "--case-dir", mixed_case, "--threshold", "1", *options, cwd=tmp_path, code=2)
        assert message in done["error"]["message"]
    assert list(tmp_path.iterdir()) == []


def test_the_batch_size_changes_no_bit(mixed_case: Path, tmp_path: Path) -> None:
    values = []
    for size in (None, 1, 3):
        with infer(mixed_case, out=tmp_path / f"{size}.h5", mc_iters=23, batch_size=size) as results:
            draws = results.draws()
            assert draws is not None
            values.append(draws.values)
    np.testing.assert_array_equal(values[0], values[1])
    np.testing.assert_array_equal(values[0], values[2])


def test_prune_compares_with_the_chosen_engine(mixed_case: Path, tmp_path: Path) -> None:
    arguments = ("prune", "--case-dir", mixed_case, "--threshold", "1", "--mc-iters", "5")
    run_json(*arguments, "--engine", "graph", "--out", "one", cwd=tmp_path)
    told = bprune(*arguments, "-v", "--out", "two", cwd=tmp_path)
    assert told.stderr.count("engine native") == 2, "before and after"
    with open_results(tmp_path / "one" / "results.h5") as one, open_results(tmp_path / "two" / "results.h5") as two:
        assert (one.run.engine, two.run.engine) == ("graph", "native")


def test_the_library_takes_the_same_choices(variational_case: Path, tmp_path: Path) -> None:
    with infer(variational_case, out=tmp_path / "a.h5", mc_iters=3, engine="graph") as results:
        assert results.run.engine == "graph"
    with infer(
        variational_case, out=tmp_path / "b.h5", mc_iters=3, engine=EngineName.TENSORFLOW, sampling=Sampling.WEIGHTS
    ) as results:
        assert results.run.sampling == "weights"
        assert "bprune.infer" in results.run.command
