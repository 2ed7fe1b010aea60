"""`bprune bench`: what is timed, with which masks, and what is told where an engine cannot run."""

from __future__ import annotations

import contextlib
import io
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bprune.case import load_case
from bprune.cli import run
from bprune.engines.base import Draws, Sampling
from bprune.engines.choose import EngineName, prepare_engine
from bprune.errors import UsageError
from bprune.inference import bench as library
from bprune.inference.bench import Variant, bench
from bprune.inference.timing import DrawLoop, median_s, time_in_turns
from bprune.posterior import read_network
from tests.networks import INPUTS, posterior_fn

FEW = ("--draws", "3", "--rounds", "2")


def _bench(*arguments: str | Path) -> tuple[int, str, str]:
    """Exit code, standard output and standard error."""
    output, errors = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
        code = run(["bench", *map(str, arguments)])
    return code, output.getvalue(), errors.getvalue()


def _bench_json(*arguments: str | Path) -> dict[str, Any]:
    code, output, errors = _bench(*arguments, "--json")
    assert code == 0, errors
    content: dict[str, Any] = json.loads(output)
    return content


@pytest.fixture
def cumulative_case(tmp_path: Path) -> Path:
    """A classifier whose logits are cumulative sums, which no program has an operation for."""
    import tensorflow as tf
    import tensorflow_probability as tfp
    import tf_keras

    from bprune.training import write_case

    layer = tfp.layers.DenseFlipout(3, name="den", kernel_posterior_fn=posterior_fn("Normal"))
    model = tf_keras.Sequential([tf_keras.Input((6,)), layer, tf_keras.layers.Lambda(lambda x: tf.cumsum(x, axis=1))])
    write_case(tmp_path / "sums", model, iteration=1, task="classification", heldout=(INPUTS, np.zeros(4, int)))
    return tmp_path / "sums"


def test_json(samples: Path) -> None:
    content = _bench_json(
        "--case-dir", samples / "digits_fc", *FEW, "--sparsity", "0.8", "--sparsity", "0", "--examples", "100"
    )
    assert content["schema"] == "bprune-bench 1"
    assert (content["case"], content["examples"], content["draws"], content["rounds"]) == ("digits_fc", 100, 3, 2)
    assert "one run of a TensorFlow session per draw" in content["baseline"]
    assert content["machine"]["cores"] >= 1
    assert (content["score"], content["left_out"], content["notes"]) == ("accuracy", [], [])
    rows = content["rows"]
    assert [row["engine"] for row in rows] == ["graph", "tensorflow", "native"] * 2
    assert [row["sampling"] for row in rows[:3]] == ["as-trained", "weights", "per-example"]
    assert [round(row["sparsity"], 3) for row in rows] == [0.0] * 3 + [0.8] * 3
    for row in rows:
        graph = rows[0] if row["sparsity"] == 0.0 else rows[3]
        assert len(row["seconds"]) == 2
        assert row["us"] == pytest.approx(median_s(tuple(row["seconds"])) / 100 / 3 * 1e6)
        assert row["ratio"] == pytest.approx(graph["us"] / row["us"])
        assert row["score"] > 0.85
    assert rows[0]["units"] is None
    assert rows[1]["units"] == {"den_1": 64, "den_2": 64, "den_3": 10}
    assert rows[5]["units"]["den_1"] < 64


def test_the_table(samples: Path) -> None:
    code, output, errors = _bench(
        "--case-dir", samples / "regression_1d", *FEW, "--sparsity", "0.5", "--engine", "native", "--examples", "20"
    )
    assert code == 0, errors
    lines = [line for line in output.splitlines() if line.strip()]
    assert lines[0].split() == ["engine", "sampling", "precision", "pruned", "us", "spread", "ratio", "rmse", "units"]
    assert [line.split()[0] for line in lines[2:4]] == ["graph", "native"]
    assert "50.0%" in lines[3]
    assert "median of 2 repetitions of 3 draws of 20 examples" in output
    assert "how many times faster than the graph as TFP built it" in output


def test_a_network_that_is_not_lowered(cumulative_case: Path) -> None:
    content = _bench_json("--case-dir", cumulative_case, *FEW)
    assert [row["engine"] for row in content["rows"]] == ["graph"]
    assert {item["engine"] for item in content["left_out"]} == {"tensorflow", "native"}
    assert all("Cumsum" in item["reason"] for item in content["left_out"])
    code, output, _ = _bench("--case-dir", cumulative_case, *FEW)
    assert code == 0
    assert output.count("Left out: tensorflow, native: ") == 1


def test_without_numba_the_others_are_timed(mixed_case: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def prepare(*arguments: Any, **named: Any) -> Any:
        if named["name"] is EngineName.NATIVE:
            raise ImportError("No module named 'numba'")
        return prepare_engine(*arguments, **named)

    monkeypatch.setattr(library, "prepare_engine", prepare)
    content = _bench_json("--case-dir", mixed_case, *FEW, "--sparsity", "0")
    assert [row["engine"] for row in content["rows"]] == ["graph", "tensorflow"]
    (left_out,) = content["left_out"]
    assert left_out == {"engine": "native", "sparsity": 0.0, "reason": "No module named 'numba'; see bprune doctor"}


def test_all_engines_are_asked_for_bfloat16(mixed_case: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[Any, Any]] = []

    def stop(*_: Any, variants: list[Variant], **__: Any) -> Any:
        asked.extend((item.engine.value, item.precision.value) for item in variants)
        raise UsageError("enough")

    monkeypatch.setattr(library, "bench", stop)
    assert _bench("--case-dir", mixed_case, "--precision", "bfloat16")[0] == 2
    assert asked == [("tensorflow", "bfloat16"), ("native", "bfloat16")]


def test_what_was_pruned_before_and_layers_without_a_weight_are_noted(samples: Path, tmp_path: Path) -> None:
    from bprune import prune

    prune(samples / "digits_fc", tmp_path / "pruned", sparsity=0.6)
    case = load_case(tmp_path / "pruned")
    network = read_network(case)
    inputs = np.zeros((2, 8, 8, 1), np.float32)
    found = bench(case, network, inputs, sparsities=[0.0, 0.5, 0.6, 1.0], variants=[], draws=1, rounds=1)
    assert [round(row.sparsity, 3) for row in found.rows] == [0.6, 1.0], "the same masks are timed once"
    assert [note for note in found.notes if "pruned already" in note] == [
        f"a sparsity of {wanted} is below that of the case, which is pruned already: 0.6" for wanted in ("0", "0.5")
    ]
    assert found.notes[-1] == "at a sparsity of 1 no weight is left in den_1, den_2, den_3"
    assert (found.score, found.rows[0].score) == ("", None)


def test_draws_that_nobody_chose_are_those_of_a_graph_in_two_seconds(mixed_case: Path) -> None:
    case = load_case(mixed_case)
    network = read_network(case)
    found = bench(case, network, INPUTS, sparsities=[0.0], variants=[], rounds=1)
    assert found.draws == 100, "a small network makes more than allowed"
    for wrong in ({"rounds": 0}, {"draws": 0}):
        with pytest.raises(UsageError, match="each must be at least 1"):
            bench(case, network, INPUTS, **wrong)  # type: ignore[arg-type]


def test_defaults_are_those_of_the_library() -> None:
    from bprune.commands.bench import command

    defaults = {item.name: item.default for item in command.params}
    assert defaults["sparsities"] == library.DEFAULT_SPARSITIES
    assert defaults["rounds"] == library.DEFAULT_ROUNDS
    assert defaults["engines"] == tuple(item.engine.value for item in library.DEFAULT_VARIANTS)


class _Counting:
    """An engine whose draws are their own numbers, and which remembers what it was asked."""

    name, sampling, output_size, block, most_draws = "counting", Sampling.WEIGHTS, 3, 1, 20

    def __init__(self) -> None:
        self.asked: list[tuple[int, range]] = []

    def prepare(self, examples: int) -> None:
        """Nothing."""

    def example_bytes(self) -> int:
        """So many that a batch has four examples."""
        return 128 << 20

    def draw(self, inputs: Any, draws: range, first: int = 0) -> Draws:
        """The draw's number plus the example's."""
        self.asked.append((first, draws))
        numbers = np.arange(first, first + len(inputs))[None, :, None] + np.asarray(draws)[:, None, None]
        return Draws(np.broadcast_to(numbers, (len(draws), len(inputs), 3)).astype(np.float32))


def test_a_loop_makes_every_draw_of_every_example_once() -> None:
    engine = _Counting()
    loop = DrawLoop(engine, np.zeros((6, 2), np.float32), 25)
    loop()
    np.testing.assert_allclose(loop.mean(), np.arange(6)[:, None] + np.full((1, 3), 12.0))
    loop()
    np.testing.assert_allclose(loop.mean(), np.arange(6)[:, None] + np.full((1, 3), 24.5))
    made = sorted((first, number) for first, draws in engine.asked for number in draws)
    assert made == [(first, number) for first in (0, 3) for number in range(50)]


def test_sides_are_timed_in_turns_and_the_first_call_is_not() -> None:
    calls: list[str] = []
    waits = {"slow": iter([0.3, 0.02, 0.02, 0.02]), "fast": iter([0.0, 0.0, 0.0, 0.0])}

    def side(name: str) -> Any:
        def work() -> None:
            calls.append(name)
            time.sleep(next(waits[name]))

        return work

    shares: list[float] = []

    def progress(share: float) -> None:
        shares.append(share)

    found = time_in_turns({name: side(name) for name in waits}, 3, progress)
    assert calls == ["slow", "fast", "fast", "slow"] * 2
    assert {name: len(items) for name, items in found.items()} == {"slow": 3, "fast": 3}
    assert 0.02 <= min(found["slow"]) <= median_s(found["slow"]) < 0.2, "the first call took 0.3 s"
    assert max(found["fast"]) < 0.02
    assert shares == [number / 8 for number in range(1, 9)]
