"""The run that ends for each example on its own: what it hands on, and that company and division do not matter."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bprune import infer, open_results
from bprune.arrays import AnyArray
from bprune.case.task import Task
from bprune.engines.base import Draws, Sampling
from bprune.errors import UsageError
from bprune.inference.adaptive import run_until_settled
from bprune.inference.run import Blocks
from bprune.inference.statistics import ClassificationMoments, RegressionMoments
from bprune.inference.stopping import Stopping

EXAMPLES = 23
RULES = (Stopping(200), Stopping(300, target_stderr=0.05))


class Fake:
    """An engine whose draws depend on seed, example and draw alone; the lower the input, the nearer to a tie."""

    name = "fake"
    sampling = Sampling.PER_EXAMPLE
    output_size = 3
    block = 4
    most_draws = 20

    def __init__(self, *, regression: bool = False) -> None:
        self.regression = regression
        self.work = 0

    def prepare(self, examples: int) -> None: ...

    def example_bytes(self) -> int:
        return 1

    def draw(self, inputs: AnyArray, draws: range, first: int = 0) -> Draws:
        return self.draw_some(inputs, draws, np.arange(first, first + len(inputs)))

    def draw_some(self, inputs: AnyArray, draws: range, numbers: AnyArray) -> Draws:
        self.work += len(inputs) * len(draws)
        values = np.stack([[self._one(x, n, d) for x, n in zip(inputs, numbers, strict=True)] for d in draws])
        return Draws(values, np.full_like(values, 0.5)) if self.regression else Draws(values)

    def _one(self, x: AnyArray, number: int, draw: int) -> AnyArray:
        rng = np.random.default_rng([int(number), draw])
        if self.regression:
            return rng.normal(1.0, 0.2 + float(x[0]) / 10.0, 3).astype(np.float32)
        return rng.dirichlet([1.0, 1.0 + float(x[0]), 0.3]).astype(np.float32)


class Kept:
    """A sink that keeps what comes."""

    def __init__(self) -> None:
        self.summary: Any = None
        self.draws = np.zeros(0, np.int64)

    def add_summary(self, start: int, summary: Any, *, draws: AnyArray) -> None:
        assert start == 0
        self.summary, self.draws = summary, draws


INPUTS = np.linspace(0.05, 12.0, EXAMPLES, dtype=np.float32)[::-1].reshape(-1, 1)


def run(engine: Fake, stopping: Stopping, blocks: Blocks, *, paired: bool = False, labels: Any = None) -> Kept:
    kept = Kept()
    shares: list[float] = []

    def progress(share: float) -> None:
        shares.append(share)

    task = Task.REGRESSION if engine.regression else Task.CLASSIFICATION
    run_until_settled(
        engine,
        INPUTS,
        labels,
        task,
        stopping=stopping,
        blocks=blocks,
        sink=kept,
        paired=paired,
        progress=progress,
    )
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    return kept


@pytest.mark.parametrize("paired", [False, True])
@pytest.mark.parametrize("rule", RULES, ids=["class", "stderr"])
def test_the_summary_is_that_of_the_draws_that_were_made(rule: Stopping, paired: bool) -> None:
    engine = Fake()
    kept = run(engine, rule, Blocks(8, 6), paired=paired)
    assert kept.draws.min() < kept.draws.max() <= rule.max_mc_iters
    assert engine.work == kept.draws.sum(), "settled examples take no more draws"
    for number, made in enumerate(kept.draws):
        draws = engine.draw(INPUTS[number : number + 1], range(int(made)), number)
        expected = ClassificationMoments.start(1, 3, paired=paired).update(draws).summary()
        for name in ("mean", "stddev", "mc_stderr", "expected_entropy", "mutual_information"):
            found = getattr(kept.summary, name)[number]
            np.testing.assert_allclose(found, getattr(expected, name)[0], rtol=1e-5, atol=1e-7, err_msg=name)
        for name in ("block_mean", "block_expected_entropy", "block_votes"):
            np.testing.assert_array_equal(getattr(kept.summary, name)[number], getattr(expected, name)[0], name)


@pytest.mark.parametrize("rule", RULES, ids=["class", "stderr"])
@pytest.mark.parametrize("blocks", [Blocks(4, 1), Blocks(12, 20), Blocks(23, 7)], ids=str)
def test_the_division_does_not_matter(rule: Stopping, blocks: Blocks) -> None:
    expected, found = run(Fake(), rule, Blocks(8, 6)), run(Fake(), rule, blocks)
    np.testing.assert_array_equal(found.draws, expected.draws)
    np.testing.assert_allclose(found.summary.mean, expected.summary.mean, rtol=1e-6)


def test_a_decision_before_the_limit_does_not_depend_on_it() -> None:
    few, many = (run(Fake(), Stopping(largest), Blocks(8, 6)).draws for largest in (48, 200))
    np.testing.assert_array_equal(few, np.minimum(many, 48))


def test_a_regression_with_scales_and_targets() -> None:
    targets = np.linspace(0.0, 2.0, EXAMPLES * 3, dtype=np.float32).reshape(EXAMPLES, 3)
    kept = run(Fake(regression=True), Stopping(500, target_stderr=0.08), Blocks(8, 6), labels=targets)
    assert kept.draws.min() < kept.draws.max()
    assert (kept.summary.mc_stderr[kept.draws < 500] <= 0.08).all()
    number = int(np.argmin(kept.draws))
    draws = Fake(regression=True).draw(INPUTS[number : number + 1], range(int(kept.draws[number])), number)
    expected = RegressionMoments.start(1, 3).update(draws, targets[number : number + 1]).summary()
    assert expected.log_likelihood is not None
    np.testing.assert_allclose(kept.summary.log_likelihood[number], expected.log_likelihood[0], rtol=1e-5)


@pytest.mark.parametrize("engine", ["native", "tensorflow"])
def test_most_digits_settle_early_as_a_long_run_does(samples: Path, tmp_path: Path, engine: str) -> None:
    """Of 360 digits, those that settle have the class of 2,000 draws, but for 1 %; batches do not matter."""
    common: dict[str, Any] = {"mc_iters": "auto", "max_mc_iters": 400, "engine": engine}
    with infer(samples / "digits_fc", out=tmp_path / "a.h5", **common) as results:
        settled, made, mean = results.draws_made < 400, results.draws_made, results.summary.mean
        assert results.draws() is None
        assert results.run.mc_iters == 400
        assert '"rule": "top-class"' in results.run.stopping
    assert made.mean() < 80
    assert settled.mean() > 0.9
    with infer(samples / "digits_fc", out=tmp_path / "b.h5", mc_iters=2000, keep_draws=False, seed=1) as results:
        wrong = settled & (mean.argmax(-1) != results.summary.mean.argmax(-1))
    assert wrong.mean() <= 0.01
    with infer(samples / "digits_fc", out=tmp_path / "c.h5", batch_size=50, **common) as results:
        np.testing.assert_array_equal(results.draws_made, made)
        np.testing.assert_allclose(results.summary.mean, mean, rtol=1e-4, atol=1e-6)


def test_a_target_standard_error_is_met(samples: Path, tmp_path: Path) -> None:
    with infer(samples / "regression_1d", out=tmp_path / "r.h5", target_stderr=0.02, max_mc_iters=600) as results:
        assert results.draws_made.min() < 600
        assert (results.summary.mc_stderr[results.draws_made < 600] <= 0.02).all()
        assert results.run.mc_iters == results.draws_made.max()
        assert f"{results.draws_made.min()} to {results.draws_made.max()} draws" in results.describe()
    with open_results(tmp_path / "r.h5") as again:
        assert '"target_stderr": 0.02' in again.run.stopping


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"mc_iters": 10, "target_stderr": 0.1}, "does not go with a target"),
        ({"mc_iters": "many"}, "'many'; a number is needed"),
        ({"mc_iters": "auto", "keep_draws": True}, "same number"),
        ({"mc_iters": "auto", "antithetic": True, "max_mc_iters": 7}, "7 draws cannot be paired"),
    ],
)
def test_what_does_not_go_together(samples: Path, tmp_path: Path, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        infer(samples / "digits_fc", out=tmp_path / "r.h5", **arguments)
    assert list(tmp_path.iterdir()) == []


def test_a_regression_is_not_settled_by_class(samples: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no top class"):
        infer(samples / "regression_1d", out=tmp_path / "r.h5", mc_iters="auto")
