"""`bprune prune --compact`: a second case, smaller and of the same law."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bprune import load_case
from bprune.cli import run
from bprune.posterior import read_network
from tests.networks import INPUTS, posterior_fn


def _prune(*arguments: str | Path, code: int = 0) -> str:
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        assert run(["prune", *map(str, arguments)]) == code
    return output.getvalue()


def _prune_json(*arguments: str | Path, code: int = 0) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(_prune(*arguments, "--json", code=code))
    return content


def test_both_cases_predict_the_same(samples: Path, tmp_path: Path) -> None:
    source, out = samples / "digits_conv", tmp_path / "pruned"
    content = _prune_json("--case-dir", source, "--sparsity", "0.9", "--compact", "--out", out, "--mc-iters", "60")
    compact = content["compact"]
    assert compact["case"] == str(tmp_path / "pruned-compact")
    assert compact["total"]["after"]["weights"] < compact["total"]["before"]["weights"]
    assert [row["operations"] for row in compact["rows"]] == [["Conv"], ["Conv"], ["Dense"]]

    case = load_case(tmp_path / "pruned-compact")
    kept = {item.layer: int(item.mask.sum()) for item in read_network(case).posteriors}
    live = {row["layer"]: row["after"]["sampled_weights"] for row in compact["rows"]}
    assert kept == live
    results = tmp_path / "compact.h5"
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        arguments = ["infer", "--case-dir", str(case.files.root), "--mc-iters", "60", "--out", str(results), "--json"]
        assert run(arguments) == 0
    scores = json.loads(output.getvalue())["metrics"]
    for name in ("accuracy", "nll"):
        assert scores[name]["value"] == pytest.approx(content["after"][name]["value"], abs=0.01)


def test_it_tells_what_went(samples: Path, tmp_path: Path) -> None:
    arguments = ("--sparsity", "0.9", "--compact", "--no-infer", "--out", tmp_path / "pruned")
    text = _prune("--case-dir", samples / "digits_conv", *arguments)
    for word in ("operation", "compacted", "multiply-adds", "compact case:", "pruned-compact"):
        assert word in text


def test_what_is_there_is_left_and_nothing_is_written(samples: Path, tmp_path: Path) -> None:
    (tmp_path / "pruned-compact").mkdir()
    arguments = ("--sparsity", "0.9", "--compact", "--no-infer", "--out", tmp_path / "pruned")
    content = _prune_json("--case-dir", samples / "digits_conv", *arguments, code=6)
    assert "exists already" in content["error"]["message"]
    assert [path.name for path in tmp_path.iterdir()] == ["pruned-compact"]


def test_a_network_that_is_not_lowered(tmp_path: Path) -> None:
    import tensorflow as tf
    import tensorflow_probability as tfp
    import tf_keras

    from bprune.training import write_case

    layer = tfp.layers.DenseFlipout(3, name="den", kernel_posterior_fn=posterior_fn("Normal"))
    model = tf_keras.Sequential([tf_keras.Input((6,)), layer, tf_keras.layers.Lambda(lambda x: tf.cumsum(x, axis=1))])
    write_case(tmp_path / "sums", model, iteration=1, task="classification", heldout=(INPUTS, np.array([0, 1, 2, 0])))
    arguments = ("--sparsity", "0.5", "--out", tmp_path / "pruned")
    content = _prune_json("--case-dir", tmp_path / "sums", *arguments, "--compact", code=4)
    assert "Cumsum" in content["error"]["message"]
    assert [path.name for path in tmp_path.iterdir()] == ["sums"]
    _prune("--case-dir", tmp_path / "sums", *arguments)
