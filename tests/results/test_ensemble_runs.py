"""Ensembles of cases, run: each member draws what it draws alone, and every consumer takes the results."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bprune
from bprune.case import Case
from bprune.cli import run
from bprune.errors import InputError, UsageError
from bprune.inference.data import Dataset
from bprune.inference.statistics import RegressionSummary
from bprune.results import Results

DRAWS = 24
EXAMPLES = 40


@pytest.fixture(name="pair", scope="module")
def _pair(samples: Path) -> list[Case]:
    """Two networks of one architecture: two iterations of a training."""
    return [bprune.load_case(samples / "digits_fc", checkpoint=name) for name in ("4500", "2250")]


@pytest.fixture(name="data", scope="module")
def _data(samples: Path) -> Dataset:
    with np.load(samples / "digits_fc" / "heldout.npz") as file:
        return Dataset(file["x"][:EXAMPLES], file["y"][:EXAMPLES], "digits")


@pytest.fixture(name="both", scope="module")
def _both(pair: list[Case], data: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Results]:
    out = tmp_path_factory.mktemp("both") / "both.h5"
    with bprune.infer(pair, data, out, mc_iters=DRAWS, seed=5) as results:
        yield results


def values(results: Results, member: int | None = None) -> Any:
    draws = results.draws(member=member)
    assert draws is not None
    return draws.values


def test_each_member_draws_what_it_draws_alone(both: Results, pair: list[Case], data: Dataset, tmp_path: Path) -> None:
    assert both.run.members[0].seed == 5
    for number, (case, record) in enumerate(zip(pair, both.run.members, strict=True)):
        with bprune.infer(case, data, tmp_path / f"{number}.h5", mc_iters=DRAWS, seed=record.seed) as alone:
            np.testing.assert_array_equal(values(both, number), values(alone))
            for name in ("mean", "stddev", "mc_stderr", "block_mean", "block_votes", "expected_entropy"):
                np.testing.assert_array_equal(
                    getattr(both.members[number], name), getattr(alone.summary, name), err_msg=name
                )
            assert both.metrics(["nll"], member=number) == alone.metrics(["nll"])
            assert record.checkpoint_digest == alone.run.checkpoint_digest
    with bprune.infer(pair[0], data, tmp_path / "same.h5", mc_iters=DRAWS, seed=6) as other:
        assert not np.array_equal(values(both, 0), values(other))


def test_the_answer_does_not_depend_on_how_the_work_is_split(
    both: Results, pair: list[Case], data: Dataset, tmp_path: Path
) -> None:
    with bprune.infer(pair, data, tmp_path / "split.h5", mc_iters=DRAWS, seed=5, batch_size=7) as other:
        np.testing.assert_allclose(values(other), values(both), rtol=2e-5, atol=1e-6)
        np.testing.assert_allclose(other.summary.mean, both.summary.mean, atol=1e-6)


@pytest.mark.parametrize("mc_iters", [DRAWS, "auto"])
def test_workers_give_the_same_to_the_last_bit(
    pair: list[Case], data: Dataset, tmp_path: Path, mc_iters: int | str
) -> None:
    options: dict[str, Any] = {"mc_iters": mc_iters, "max_mc_iters": 64}
    with bprune.infer(pair, data, tmp_path / "one.h5", **options) as one, ThreadPoolExecutor(2) as executor:
        with bprune.infer(pair, data, tmp_path / "many.h5", **options, executor=executor, workers=2) as many:
            assert many.digest() == one.digest()
        with bprune.infer(pair[::-1], data, tmp_path / "turned.h5", **options) as turned:
            assert turned.digest() != one.digest()


def test_networks_of_other_architectures_are_mixed_and_told(samples: Path, data: Dataset, tmp_path: Path) -> None:
    cases = [samples / "digits_fc", samples / "digits_conv"]
    with bprune.infer(cases, data, tmp_path / "mixed.h5", mc_iters=10, rule=None, threshold=0.2) as results:
        expected = np.mean([values(results, number).mean(axis=0) for number in (0, 1)], axis=0)
        np.testing.assert_allclose(results.summary.mean, expected, atol=1e-6)
        assert {layer.name for layer in results.layers} >= {"0/den_3", "1/conv_1"}
        assert [member.threshold for member in results.run.members] == [0.2, 0.2]
        assert results.run.case == "ensemble of 2: digits_fc, digits_conv"
        kept = [[layer.nonzeros < layer.weights for layer in results.layers if layer.member == i] for i in (0, 1)]
        assert any(kept[0])


def test_a_mixture_is_drawn_until_it_is_settled(pair: list[Case], data: Dataset, tmp_path: Path) -> None:
    """Numbers of draws differ between examples and agree between members, whose draws are those of a fixed number."""
    out = tmp_path / "auto.h5"
    with bprune.infer(pair, data, out, mc_iters="auto", max_mc_iters=96, seed=5) as results:
        made = results.draws_made
        assert 8 <= made.min() < made.max() <= 96
        assert results.draws() is None
    with bprune.infer(pair, data, tmp_path / "fixed.h5", mc_iters=int(made.min()), seed=5) as fixed:
        few = made == made.min()
        np.testing.assert_allclose(results.summary.mean[few], fixed.summary.mean[few], atol=1e-6)


def test_antithetic_pairs_of_an_ensemble(pair: list[Case], data: Dataset, tmp_path: Path) -> None:
    with bprune.infer(pair, data, tmp_path / "pairs.h5", mc_iters=20, antithetic=True, engine="native") as results:
        assert results.run.antithetic
        pairs = values(results, 1).reshape(10, 2, EXAMPLES, 10).mean(axis=1)
        stderr = pairs.std(axis=0, ddof=1) / np.sqrt(10)
        np.testing.assert_allclose(results.members[1].mc_stderr, stderr, rtol=1e-3, atol=1e-6)


@pytest.fixture(name="houses", scope="module")
def _houses(samples: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A regression, and the same pruned."""
    pruned = tmp_path_factory.mktemp("houses") / "pruned"
    bprune.prune(samples / "regression_1d", pruned, sparsity=0.4)
    return [samples / "regression_1d", pruned]


def test_a_regression(houses: list[Path], tmp_path: Path) -> None:
    with bprune.infer(houses, out=tmp_path / "r.h5", mc_iters=20) as results:
        summary, metrics = results.summary, results.metrics()
        assert isinstance(summary, RegressionSummary)
        exact = np.stack([values(results, number) for number in (0, 1)]).astype(np.float64)
        within, between = exact.var(axis=1, ddof=1).mean(axis=0), exact.mean(axis=1).var(axis=0)
        np.testing.assert_allclose(np.square(summary.epistemic_stddev), within + between, rtol=1e-4, atol=1e-9)
        assert metrics["within_members"].value == pytest.approx(within.mean(), rel=1e-4)
        assert metrics["between_members"].value == pytest.approx(between.mean(), rel=1e-4)
        assert metrics["nll"].mc_stderr > 0.0


def test_what_is_no_ensemble_is_refused(
    samples: Path, pair: list[Case], houses: list[Path], mixed_case: Path, tmp_path: Path
) -> None:
    out = tmp_path / "r.h5"
    with pytest.raises(InputError, match=r"digits_fc and .*regression_1d .* a classification, the second a regression"):
        bprune.infer([pair[0], houses[0]], out=out)
    with pytest.raises(InputError, match=r"digits_fc and .*mixed cannot be members .* inputs of the shape"):
        bprune.infer([pair[0], mixed_case], out=out)
    with pytest.raises(UsageError, match=r"digits_fc and .*digits_fc hold the same checkpoint"):
        bprune.infer([pair[0], samples / "digits_fc"], out=out)
    with pytest.raises(UsageError, match="there is no case"):
        bprune.infer([], out=out)
    assert not out.exists()


def command(*arguments: object) -> tuple[int, str]:
    """Exit code and standard output of a command."""
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        code = run([*map(str, arguments)])
    return code, output.getvalue()


def test_every_command_takes_the_results_of_an_ensemble(samples: Path, tmp_path: Path) -> None:
    out = tmp_path / "both.h5"
    cases = [item for name in ("digits_fc", "digits_conv") for item in ("--case-dir", samples / name)]
    np.savez(tmp_path / "noise.npz", x=np.random.default_rng(0).uniform(size=(30, 8, 8, 1)).astype(np.float32))
    options = ["--examples", "60", "--mc-iters", "10", "--out", out, "--ood-data", tmp_path / "noise.npz", "--json"]
    code, text = command("infer", *cases, *options)
    assert code == 0
    content = json.loads(text)
    assert [item["case"] for item in content["members"]] == ["digits_fc", "digits_conv"]
    assert content["weights"] == sum(item["weights"] for item in content["members"])
    assert content["members"][1]["plan"]["engine"] == content["members"][1]["engine"]
    nll = [item["metrics"]["nll"]["value"] for item in content["members"]]
    assert content["mean_member"]["nll"] == pytest.approx(np.mean(nll))
    assert content["metrics"]["nll"]["value"] <= content["mean_member"]["nll"]  # -ln is convex
    assert 0.5 < content["ood_metrics"]["ood_auroc_entropy"]["value"] <= 1.0
    code, text = command("metrics", out)
    assert code == 0
    assert "mean member" in text
    assert "mutual information between members" in text
    content = json.loads(command("metrics", out, "--json", "--ood", tmp_path / "both-ood.h5")[1])
    assert len(content["members"]) == 2
    assert command("infer", *cases[:2], *options[:4], "--out", tmp_path / "one.h5", "-q")[0] == 0
    code, text = command("compare", tmp_path / "one.h5", out, "--json")
    assert code == 0
    assert set(json.loads(text)["metrics"]) & {"nll", "within_members"} == {"nll"}
    for kind in ("pdf", "convergence", "reliability", "risk-coverage", "uncertainty"):
        files = [out, tmp_path / "one.h5"] if kind != "uncertainty" else [out]
        assert command("plot", kind, *files, "--out", tmp_path / f"{kind}.png")[0] == 0
    code, text = command("report", "--case-dir", samples / "digits_fc", "--results", out, "--json")
    assert code == 4
    assert "a report is about one case" in json.loads(text)["error"]["message"]


@pytest.mark.parametrize("name", ["inspect", "prune", "verify", "sweep"])
def test_other_commands_take_one_case(samples: Path, name: str) -> None:
    code, text = command(name, "--case-dir", samples / "digits_fc", "--case-dir", samples / "digits_conv", "--json")
    assert code == 2
    assert "takes one --case-dir" in json.loads(text)["error"]["message"]


def test_an_error_names_the_member(samples: Path, tmp_path: Path) -> None:
    cases = [item for name in ("digits_conv", "digits_fc") for item in ("--case-dir", samples / name)]
    code, text = command("infer", *cases, "--threshold", "10", "--out", tmp_path / "r.h5", "--json")
    assert code == 3
    assert json.loads(text)["error"]["message"].startswith(str(samples / "digits_fc") + ": ")
