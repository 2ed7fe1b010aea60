"""`bprune verify` as users see it: what it prints, and how it ends."""

from __future__ import annotations

import contextlib
import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bprune.cli import run
from tests.networks import INPUTS, posterior_fn


def _verify(*arguments: str | Path) -> tuple[int, str, str]:
    """Exit code, standard output and standard error."""
    output, errors = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
        code = run(["verify", *map(str, arguments)])
    return code, output.getvalue(), errors.getvalue()


def _verify_json(*arguments: str | Path, code: int = 0) -> dict[str, Any]:
    found, output, errors = _verify(*arguments, "--json")
    assert found == code, errors
    content: dict[str, Any] = json.loads(output)
    return content


@pytest.fixture
def graph_only_case(tmp_path: Path) -> Path:
    """A classifier whose logits are cumulative sums, which no program has an operation for."""
    import tensorflow as tf
    import tensorflow_probability as tfp
    import tf_keras

    from bprune.training import write_case

    layer = tfp.layers.DenseFlipout(3, name="den", kernel_posterior_fn=posterior_fn("Normal"))
    model = tf_keras.Sequential([tf_keras.Input((6,)), layer, tf_keras.layers.Lambda(lambda x: tf.cumsum(x, axis=1))])
    write_case(tmp_path / "sums", model, iteration=1, task="classification", heldout=(INPUTS, np.array([0, 1, 2, 0])))
    return tmp_path / "sums"


def _halve_the_scales(monkeypatch: pytest.MonkeyPatch) -> None:
    """A planted bug: the program's noise is half as wide as the network's."""
    from dataclasses import replace

    from bprune.case import Case
    from bprune.inference import verify
    from bprune.lowering.lower import lower
    from bprune.lowering.program import Program, weights_of, with_weights
    from bprune.posterior import Network

    def wrong(case: Case, network: Network) -> Program:
        program = lower(case, network)
        ops = []
        for op in program.ops:
            weights = {
                field: item if item.scale is None else replace(item, scale=item.scale * np.float32(0.5))
                for field, item in weights_of(op).items()
            }
            ops.append(with_weights(op, weights))
        return program.replaced(ops)

    monkeypatch.setattr(verify, "lower", wrong)


def test_it_tells_what_was_lowered_and_that_the_laws_hold(mixed_case: Path) -> None:
    code, output, errors = _verify("--case-dir", mixed_case, "--mc-iters", "400", "--threshold", "1")
    assert code == 0, errors
    for text in (
        "lognormal   Dense",
        "multiply-adds",
        "without noise, program = graph",
        "compacted = masked, same draws",
        "same law per example",
        "draws of 4 examples",
        "equal laws would be told apart with a probability of 1e-06 at most",
        "would have been found with a probability of 95 %",
    ):
        assert text in output
    assert "FAILS" not in output


def test_json(mixed_case: Path) -> None:
    content = _verify_json("--case-dir", mixed_case, "--mc-iters", "200", "--false-alarm", "1e-4", "--examples", "3")
    assert content["schema"] == "bprune-verify 1"
    assert content["holds"] is True
    assert content["failures"] == []
    assert "error" not in content
    assert [item["layer"] for item in content["layers"]] == ["flip", "laplace", "lognormal", "local"]
    assert content["layers"][0]["operations"] == ["Dense"]
    assert content["total"]["before"]["multiply_adds"] == 48 + 56 + 35 + 15
    assert content["zero_scale"]["error"] <= content["zero_scale"]["tolerance"] == 1e-5
    assert content["same_draws"]["error"] <= content["same_draws"]["tolerance"]
    laws = content["laws"]
    assert (laws["false_alarm"], laws["draws"], laws["examples"], laws["failed"]) == (1e-4, 200, 3, 0)
    assert laws["worst"]["p_value"] >= laws["level"] == pytest.approx(1e-4 / laws["comparisons"])
    assert laws["in_one_example"]["ratio"] > 1.0


def test_a_regression(variational_case: Path) -> None:
    """Mean and scale of four examples, their correlation, and the same summed over the examples."""
    content = _verify_json("--case-dir", variational_case, "--mc-iters", "300")
    assert content["holds"] is True
    assert content["laws"]["comparisons"] == (4 + 1) * (2 + 2 + 1)


def test_defaults_are_those_of_the_library() -> None:
    from bprune.commands.verify import command
    from bprune.inference.agreement import DEFAULT_FALSE_ALARM
    from bprune.inference.verify import DEFAULT_VERIFY_DRAWS

    defaults = {item.name: item.default for item in command.params}
    assert defaults["mc_iters"] == DEFAULT_VERIFY_DRAWS
    assert defaults["false_alarm"] == DEFAULT_FALSE_ALARM


def test_data_without_labels(mixed_case: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "inputs.npy", INPUTS[:2])
    content = _verify_json("--case-dir", mixed_case, "--data", tmp_path / "inputs.npy", "--mc-iters", "100")
    assert content["laws"]["examples"] == 2


def test_a_law_that_fails_is_named_and_ends_with_3(mixed_case: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _halve_the_scales(monkeypatch)
    code, output, errors = _verify("--case-dir", mixed_case, "--mc-iters", "1000")
    assert code == 3
    assert "FAILS" in output
    assert "Error: law 5 (same law per example) fails: spread of class " in errors
    assert "Hint: " in errors
    content = _verify_json("--case-dir", mixed_case, "--mc-iters", "1000", code=3)
    assert content["holds"] is False
    assert content["error"]["exit_code"] == 3
    assert content["error"]["message"] == content["failures"][0]
    assert content["laws"]["failed"] > 0


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--mc-iters", "99"], 2, "--mc-iters"),
        (["--false-alarm", "0"], 2, "--false-alarm"),
        (["--engine", "graph"], 2, "--engine"),
        (["--threshold", "1e9"], 3, "leaves no weight in"),
        (["--data", "none.npz"], 4, "none.npz"),
    ],
)
def test_mistakes(mixed_case: Path, arguments: list[str], code: int, message: str) -> None:
    found, output, errors = _verify("--case-dir", mixed_case, *arguments)
    assert found == code
    assert message in errors
    assert output == ""


def test_no_data_is_an_error_that_names_the_option(mixed_case: Path, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(mixed_case, tmp_path / "bare", ignore=shutil.ignore_patterns("heldout.npz"))
    code, _, errors = _verify("--case-dir", tmp_path / "bare")
    assert code == 4
    assert "has no heldout.npz" in errors
    assert "--data" in errors


def test_a_network_that_only_the_graph_runs(graph_only_case: Path) -> None:
    code, output, errors = _verify("--case-dir", graph_only_case)
    assert code == 4
    assert output == ""
    assert "Cumsum" in errors


def test_it_writes_nothing(mixed_case: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "bprune", "verify", "--case-dir", str(mixed_case), "--mc-iters", "100", "-q"]
    before = sorted((path.name, path.stat().st_mtime_ns) for path in mixed_case.iterdir())
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert list(tmp_path.iterdir()) == []
    assert sorted((path.name, path.stat().st_mtime_ns) for path in mixed_case.iterdir()) == before


def test_what_few_draws_never_show_is_not_told_as_a_number() -> None:
    from bprune.commands.verify import _detectable
    from bprune.inference.agreement import Detectable

    every = "a shift by 0.5 standard deviations, "
    every += "a change of the standard deviation by 20% or a change of a correlation by 1"
    assert _detectable(Detectable(0.5, 1.2, 1.0), " is found") == f"{every} is found"
    some = "a shift by 0.5 standard deviations is found ({} cannot be found with so few draws)"
    missed = "a change of the standard deviation or a change of a correlation"
    assert _detectable(Detectable(0.5, float("inf"), float("inf")), " is found") == some.format(missed)
    assert _detectable(Detectable(*[float("inf")] * 3)).startswith("nothing (a shift, ")
