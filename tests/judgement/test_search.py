"""The search alone, on curves whose answer is known."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping

import numpy as np
import pytest
from scipy.stats import binom

from bprune.errors import UsageError
from bprune.judgement.budget import Budget, Limit, budget_of
from bprune.judgement.search import Search, search
from bprune.metrics.estimate import Estimate

GRID = (0.2, 0.5, 0.7, 0.8, 0.85, 0.9, 0.95, 0.975)
NLL = Budget((Limit("nll", 0.01),))

Curve = Callable[[float], float]


def _cliff(sparsity: float) -> float:
    """Nothing up to 0.5, then ever steeper; 0.01 at 0.85."""
    return 0.01 * (max(sparsity - 0.5, 0.0) / 0.35) ** 3


def _exact(curve: Curve, stderr: float = 0.0) -> Callable[[float], Mapping[str, Estimate]]:
    return lambda sparsity: {"nll": Estimate(curve(sparsity), stderr, stderr)}


def _search(measure: Callable[[float], Mapping[str, Estimate]], budget: Budget = NLL, **options: int) -> Search:
    return search(measure, budget, GRID, **({"examples": 2000, "blocks": 20} | options))


def test_without_noise_the_answer_is_the_end_of_the_budget() -> None:
    found = _search(_exact(_cliff), steps=10)
    assert found.best is not None
    assert 0.849 <= found.best.sparsity <= 0.85
    assert all(look.qualifies == (_cliff(look.sparsity) <= 0.01) for look in found.looks)


def test_the_answer_has_itself_qualified_and_the_noise_keeps_it_below() -> None:
    found = _search(_exact(_cliff, 0.001))
    assert found.best in found.looks
    assert found.best is not None
    assert found.best.bounds["nll"] <= 0.01
    assert 0.75 < found.best.sparsity < 0.84


def test_one_failure_on_the_way_is_forgiven_two_are_not() -> None:
    def bumpy(*bumps: float) -> Curve:
        return lambda sparsity: 1.0 if sparsity in bumps else _cliff(sparsity)

    one = _search(_exact(bumpy(0.5)))
    two = _search(_exact(bumpy(0.5, 0.7)))
    assert one.best is not None
    assert two.best is not None
    assert one.best.sparsity >= 0.8
    assert 0.2 <= two.best.sparsity < 0.5
    assert [look.sparsity for look in two.looks if look.stage == "grid"] == [0.2, 0.5, 0.7]


def test_all_of_the_grid_qualifies() -> None:
    found = _search(_exact(lambda sparsity: 0.0))
    assert found.best is not None
    assert found.best.sparsity == 0.975
    assert len(found.looks) == len(GRID)


def test_below_the_grid_the_bisection_goes_on() -> None:
    found = _search(_exact(lambda sparsity: 0.2 * sparsity))
    assert found.best is not None
    assert found.best.sparsity == pytest.approx(0.0375)


def test_nothing_qualifies_and_the_nearest_is_told() -> None:
    found = _search(_exact(lambda sparsity: 0.5 + sparsity))
    assert found.best is None
    assert found.nearest().sparsity == min(look.sparsity for look in found.looks)
    assert found.record()["sparsity"] is None


def test_every_limit_has_to_be_kept() -> None:
    def measure(sparsity: float) -> dict[str, Estimate]:
        return {"nll": Estimate(0.0, 0.0, 0.0), "ece": Estimate(sparsity / 10.0, 0.0, 0.0)}

    both = Budget((Limit("nll", 0.01), Limit("ece", 0.06)))
    found = _search(measure, both, steps=10)
    assert found.best is not None
    assert found.best.sparsity == pytest.approx(0.6, abs=0.002)


def test_a_higher_accuracy_is_no_drop() -> None:
    measure = lambda sparsity: {"accuracy": Estimate(0.1 - 0.2 * sparsity, 0.0, 0.0)}  # noqa: E731
    found = _search(measure, Budget((Limit("accuracy", 0.0),)), examples=10**9, steps=10)
    assert found.best is not None
    assert found.best.sparsity == pytest.approx(0.5, abs=0.01)


def test_the_record_is_plain_json() -> None:
    record = json.loads(_search(_exact(_cliff, 0.001)).to_json())
    assert record["limits"] == {"nll": 0.01}
    assert record["looks"][0]["error_rate"] == pytest.approx(0.0125)
    assert {look["stage"] for look in record["looks"]} == {"grid", "bisection"}


REPEATS = 600


def _noisy(generator: np.random.Generator, *, told: bool) -> Callable[[float], Mapping[str, Estimate]]:
    """A curve measured once: what pruning does to 100 examples in 20 blocks of draws, in steps, as masks are nested."""
    edges = np.linspace(0.0, 1.0, 101)
    examples = np.cumsum(generator.standard_normal((100, 100)) * 0.004, axis=0)
    draws = np.cumsum(generator.standard_normal((100, 20)) * 0.0008, axis=0)

    def measure(sparsity: float) -> dict[str, Estimate]:
        row = min(int(np.searchsorted(edges, sparsity)), 99)
        value = _cliff(sparsity) + float(examples[row].mean() + draws[row].mean())
        errors = [float(item.std(ddof=1)) / math.sqrt(len(item)) for item in (examples[row], draws[row])]
        return {"nll": Estimate(value, *(errors if told else (0.0, 0.0)))}

    return measure


def _beyond(*, told: bool) -> tuple[int, float]:
    """How often the search goes beyond the budget, and the mean of what it finds."""
    found = []
    for seed in range(REPEATS):
        best = _search(_noisy(np.random.default_rng([11, seed]), told=told), examples=100).best
        found.append(best.sparsity if best else 0.0)
    return sum(_cliff(item) > 0.01 for item in found), float(np.mean(found))


def test_the_budget_is_kept_with_the_stated_confidence() -> None:
    """600 curves with planted noise, alpha = 5 %; a false alarm has a probability below 1e-6."""
    beyond, mean = _beyond(told=True)
    assert binom.sf(beyond - 1, REPEATS, 0.05) > 1e-6
    assert mean > 0.55, "the search is far too careful"


def test_ignoring_the_errors_goes_beyond_the_budget() -> None:
    """The planted bug: standard errors of 0. Without them nearly every second answer is beyond the budget."""
    beyond, _ = _beyond(told=False)
    assert binom.sf(beyond - 1, REPEATS, 0.05) < 1e-6


def test_budgets_of_arguments() -> None:
    assert budget_of(max_accuracy_drop=None) is None
    budget = budget_of(0.9, max_accuracy_drop=0.01, max_ece_rise=0.02)
    assert budget is not None
    assert [item.metric for item in budget.limits] == ["accuracy", "ece"]
    assert budget.describe() == "accuracy drop 0.01, ece rise 0.02 (confidence 0.9)"


def test_impossible_budgets_are_refused() -> None:
    with pytest.raises(UsageError, match="at least one limit"):
        Budget(())
    with pytest.raises(UsageError, match="below 1"):
        Budget((Limit("nll", 0.1),), confidence=1.0)
    with pytest.raises(UsageError, match="--max-nll-rise is -1"):
        Limit("nll", -1.0)
    with pytest.raises(UsageError, match="'f1' cannot be limited"):
        Limit("f1", 0.1)
    with pytest.raises(UsageError, match="--max-rmse-rise does not go with this network"):
        Budget((Limit("rmse", 0.1),)).check({"accuracy": 0, "nll": 0})
