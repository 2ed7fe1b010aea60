"""Sweeps of the sample cases: bookkeeping, resuming, workers, and the pairing of noise."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bprune
from bprune import load_case
from bprune.case import Case
from bprune.engines import Draws as EngineDraws
from bprune.engines import Engine
from bprune.errors import OutputError, UsageError
from bprune.inference.data import Dataset
from bprune.judgement import Sweep, SweepPoint, read_sweep
from bprune.judgement.levels import DEFAULT_SPARSITIES, choose_levels, level_of, sparsity_rule, whole_level
from bprune.judgement.measure import Draws, Study, measure_level, prepare_draws, time_draws
from bprune.metrics import Estimate, evaluate_difference
from bprune.posterior import Network, read_network
from bprune.pruning import Rule, choose_masks, count_total, find_criterion
from tests.scale.here import Here

SPARSITIES = (0.5, 0.8, 0.95)
DRAWS = 20
RULE = Rule(None, 0.0)


@pytest.fixture(autouse=True, scope="module")
def quickly() -> Iterator[None]:
    """Points are timed by one draw each; `test_times_are_those_of_warm_draws` looks at the real clock."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bprune.judgement.run.time_draws", _time_once)
        yield


def _time_once(engine: Engine, data: Dataset) -> float:
    start = time.perf_counter()
    engine.draw(data.inputs[:8], range(1))
    return (time.perf_counter() - start) / 8 * 1e6


@pytest.fixture(scope="module")
def case(samples: Path) -> Case:
    return load_case(samples / "digits_conv")


@pytest.fixture(scope="module")
def network(case: Case) -> Network:
    return read_network(case)


@pytest.fixture(scope="module")
def data(samples: Path) -> Dataset:
    with np.load(samples / "digits_conv" / "heldout.npz") as file:
        return Dataset(file["x"][:120], file["y"][:120], "digits")


def _text(sweep: Sweep) -> str:
    """All values of a sweep; NaN equals itself in text."""
    return repr(dataclasses.asdict(sweep))


def _sweep(case: Case, data: Dataset, **options: Any) -> Sweep:
    chosen: dict[str, Any] = {"sparsities": SPARSITIES, "mc_iters": DRAWS} | options
    return bprune.sweep(case, data, **chosen)


@pytest.fixture(scope="module")
def whole(case: Case, data: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Sweep:
    """A sweep that nothing interrupted."""
    return _sweep(case, data, out=tmp_path_factory.mktemp("whole") / "s.h5")


def _values(sweep: Sweep) -> list[SweepPoint]:
    """The points without their times."""
    return [dataclasses.replace(point, draw_us=0.0) for point in sweep.points]


def test_points_say_what_was_pruned(whole: Sweep, network: Network) -> None:
    weights = sum(item.size for item in network.posteriors)
    assert [point.nonzeros for point in whole.points] == [weights - round(s * weights) for s in (0.0, *SPARSITIES)]
    assert [point.multiply_adds for point in whole.points] == sorted(
        (point.multiply_adds for point in whole.points), reverse=True
    )
    assert all(point.draw_us > 0.0 for point in whole.points)
    assert whole.points[-1].multiply_adds < whole.points[0].multiply_adds
    assert whole.finished
    assert (whole.engine, whole.task, whole.examples, whole.unit) == ("native", "classification", 120, "SNR (linear)")
    for point in whole.points:
        kept = sum((1.0 - share) * _size(network, layer) for layer, share in point.layer_sparsity.items())
        assert round(kept) == point.nonzeros


def _size(network: Network, layer: str) -> int:
    return sum(item.size for item in network.of_layer(layer))


def test_a_threshold_gives_the_same_network_again(whole: Sweep, network: Network) -> None:
    for point in whole.points:
        masks = choose_masks(network, Rule(point.threshold))
        assert count_total(network, masks).nonzeros == point.nonzeros


def test_the_whole_network_differs_from_itself_in_nothing(whole: Sweep) -> None:
    assert set(whole.points[0].differences.values()) == {Estimate(0.0, 0.0, 0.0)}
    for point in whole.points:
        for name, change in point.differences.items():
            assert change.value == pytest.approx(point.metrics[name].value - whole.points[0].metrics[name].value)
    assert {"accuracy", "nll", "brier", "ece", "predictive_entropy", "mutual_information"} <= set(whole.metric_names)


def test_the_file_holds_what_was_returned(case: Case, data: Dataset, whole: Sweep, tmp_path: Path) -> None:
    again = _sweep(case, data, out=tmp_path / "again.h5")
    assert _text(read_sweep(tmp_path / "again.h5")) == _text(again)
    assert _values(again) == _values(whole)


class _KilledError(Exception):
    pass


def test_a_killed_sweep_goes_on_to_the_same_values(
    case: Case, data: Dataset, whole: Sweep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "s.h5"

    def kill(share: float) -> None:
        if share > 0.45:
            raise _KilledError

    with pytest.raises(_KilledError):
        _sweep(case, data, out=out, progress=kill)
    left = read_sweep(out)
    assert not left.finished
    assert 2 <= len(left.points) < len(whole.points)
    measured: list[int] = []

    def count(study: Any, level: Any, *rest: Any) -> SweepPoint:
        measured.append(level.total.nonzeros)
        return measure_level(study, level, *rest)

    monkeypatch.setattr("bprune.judgement.run.measure_level", count)
    resumed = _sweep(case, data, out=out)
    assert _values(resumed) == _values(whole)
    assert sorted([*measured, *(point.nonzeros for point in left.points)]) == sorted(p.nonzeros for p in whole.points)
    measured.clear()
    assert _text(_sweep(case, data, out=out)) == _text(resumed)
    assert measured == []
    assert [item.name for item in tmp_path.iterdir()] == ["s.h5"]


@pytest.mark.parametrize("workers", [2, 5], ids=["whole points", "divided points"])
def test_workers_give_the_same_values(case: Case, data: Dataset, whole: Sweep, tmp_path: Path, workers: int) -> None:
    executor = Here()
    together = _sweep(case, data, out=tmp_path / "s.h5", executor=executor, workers=workers)
    assert _values(together) == _values(whole)
    assert all(point.draw_us > 0.0 for point in together.points)
    assert (executor.calls > 2 * len(whole.points)) == (workers == 5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seed": 1}, r"differs in the seed \(0, not 1\)"),
        ({"mc_iters": 21}, "the number of draws"),
        ({"criterion": "magnitude"}, "the criterion"),
        ({"sparsities": (0.5,)}, "the grid"),
        ({"scope": "layer"}, "the scope"),
    ],
)
def test_another_sweep_is_not_mixed_in(
    case: Case, data: Dataset, whole: Sweep, tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    from bprune.judgement import write_sweep

    write_sweep(whole, tmp_path / "s.h5")
    with pytest.raises(OutputError, match=message):
        _sweep(case, data, out=tmp_path / "s.h5", **options)
    assert _text(read_sweep(tmp_path / "s.h5")) == _text(whole)


def test_other_data_and_other_files_are_refused(case: Case, data: Dataset, whole: Sweep, tmp_path: Path) -> None:
    from bprune.judgement import write_sweep

    write_sweep(whole, tmp_path / "s.h5")
    assert data.labels is not None
    other = dataclasses.replace(data, labels=data.labels[::-1])
    with pytest.raises(OutputError, match="differs in the data"):
        _sweep(case, other, out=tmp_path / "s.h5")
    (tmp_path / "text.h5").write_text("something else")
    with pytest.raises(OutputError, match="is not a sweep that could go on"):
        _sweep(case, data, out=tmp_path / "text.h5")
    with pytest.raises(OutputError, match="folder does not exist"):
        _sweep(case, data, out=tmp_path / "nowhere" / "s.h5")


def test_common_noise_makes_differences_far_more_precise(case: Case, network: Network, data: Dataset) -> None:
    """The planted control is a pair of runs with different seeds; its MC error is several times larger."""
    fitted = Study(case, network, data, Draws(40))
    level = level_of(network, sparsity_rule(RULE, 0.3))
    assert level is not None
    other = dataclasses.replace(fitted, draws=Draws(40, seed=1))
    before = fitted.predict(prepare_draws(case, network, network.masks, fitted.draws))
    paired = evaluate_difference(before, fitted.predict(fitted.prepare(level)), data.labels)
    unpaired = evaluate_difference(before, other.predict(other.prepare(level)), data.labels)
    for name in ("nll", "brier", "expected_entropy"):
        assert paired[name].mc_stderr < 0.4 * unpaired[name].mc_stderr
        assert paired[name].mc_stderr > 0.0


def test_times_are_those_of_warm_draws(case: Case, network: Network, data: Dataset) -> None:
    """An engine that takes 20 ms per draw, and 0.5 s for its first."""

    class Slow:
        name, output_size, block, most_draws, calls = "slow", 10, 1, 64, 0

        def prepare(self, examples: int) -> None:
            pass

        def example_bytes(self) -> int:
            return 4

        def draw(self, inputs: Any, draws: range, first: int = 0) -> Any:
            self.calls += 1
            time.sleep(0.5 if self.calls == 1 else 0.02 * len(draws))
            return EngineDraws(np.zeros((len(draws), len(inputs), 10), np.float32))

    found = time_draws(Slow(), data)  # type: ignore[arg-type]
    assert 20e3 / 120 <= found < 40e3 / 120


def test_points_that_empty_a_layer_are_left_out_with_a_note(network: Network) -> None:
    levels = choose_levels(network, RULE, sparsities=[0.5, 0.9995])
    assert levels.left_out == (0.9995,)
    assert "the sparsities 0.9995" in levels.notes[0]
    assert len(levels.levels) == 2
    allowed = choose_levels(network, RULE, sparsities=[0.5, 0.9995], allow_empty_layers=True)
    assert [level.total.nonzeros for level in allowed.levels] == [21280, 10640, 11]
    assert allowed.notes == ()


def test_the_default_grid_and_thresholds(network: Network) -> None:
    levels = choose_levels(network, RULE)
    assert len(levels.levels) == len(DEFAULT_SPARSITIES)
    by_threshold = choose_levels(network, RULE, thresholds=[10.0, 0.0, 10.0])
    assert [level.total.nonzeros for level in by_threshold.levels] == [21280, 7811]
    with pytest.raises(UsageError, match="not over both"):
        choose_levels(network, RULE, thresholds=[1.0], sparsities=[0.5])


def test_ties_have_no_single_threshold(network: Network) -> None:
    ones = tuple(dataclasses.replace(item, loc=np.ones_like(item.loc)) for item in network.posteriors)
    equal = dataclasses.replace(network, posteriors=ones)
    rule = Rule(None, 0.0, criterion=find_criterion("magnitude"))
    level = level_of(equal, sparsity_rule(rule, 0.3), allow_empty_layers=True)
    assert level is not None
    assert math.isnan(level.threshold)
    assert whole_level(equal, rule).threshold == 1.0


def test_a_regression_has_its_own_metrics(samples: Path) -> None:
    found = bprune.sweep(samples / "regression_1d", sparsities=[0.3], mc_iters=10)
    assert {"rmse", "crps"} <= set(found.metric_names)
    assert found.task == "regression"
    assert len(found.points) == 2


def test_without_labels_entropies_are_left(case: Case, data: Dataset) -> None:
    found = _sweep(case, dataclasses.replace(data, labels=None), sparsities=[0.8], mc_iters=3)
    assert "predictive_entropy" in found.metric_names
    assert "accuracy" not in found.metric_names


def test_impossible_numbers_are_refused(case: Case, data: Dataset) -> None:
    with pytest.raises(UsageError, match="number of workers is 0"):
        _sweep(case, data, workers=0)
    with pytest.raises(UsageError, match="number of draws is 0"):
        _sweep(case, data, mc_iters=0)
    with pytest.raises(UsageError, match="cannot be paired"):
        _sweep(case, data, mc_iters=21, antithetic=True)
