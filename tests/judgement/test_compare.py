"""Comparing results files: equal networks are not called different, other ones are, other data is refused."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pytest

from bprune.arrays import AnyArray
from bprune.case.task import Task
from bprune.cli import run
from bprune.engines.base import Draws
from bprune.errors import InputError
from bprune.inference.statistics import ClassificationMoments, RegressionMoments
from bprune.judgement import Comparison, compare_results
from bprune.judgement.change import ClassChange, ValueChange
from bprune.judgement.noise_floor import FALSE_ALARM, compare_with_noise
from bprune.metrics import ClassPredictions
from bprune.results import LayerRecord, ResultsWriter, RunRecord, open_results
from tests.metrics.metric_worlds import Classifier, of_draws

RUN = RunRecord(40, 0, "graph", "weights", "sha256:0", "case", "bprune infer")
WORLD = Classifier(60)


def write(
    path: Path,
    draws: Draws,
    labels: AnyArray | None,
    *,
    inputs: AnyArray | None = None,
    task: Task = Task.CLASSIFICATION,
) -> Path:
    """A results file of some draws, without the draws."""
    mc_iters, examples, outputs = draws.values.shape
    inputs = np.arange(float(examples))[:, None] if inputs is None else inputs
    with ResultsWriter(
        path,
        dataclasses.replace(RUN, mc_iters=mc_iters),
        [LayerRecord("den_1", 4, 4)],
        task=task,
        inputs=inputs,
        labels=labels,
        outputs=outputs,
        predicts_scale=draws.scale is not None,
        keep_draws=False,
        overwrite=False,
    ) as file:
        if task is Task.CLASSIFICATION:
            file.add_summary(0, ClassificationMoments.start(examples, outputs).update(draws).summary())
        else:
            file.add_summary(0, RegressionMoments.start(examples, outputs).update(draws, labels).summary())
        file.finish(1.0)
    return path


def classes(
    path: Path, seed: int = 0, mc_iters: int = 40, *, bias: float = 0.0, labels: AnyArray | None = None
) -> Path:
    p = WORLD.draws(seed, mc_iters, bias=bias)
    return write(path, Draws(p), WORLD.labels if labels is None else labels)


def compare(first: Path, second: Path) -> Comparison:
    with open_results(first) as a, open_results(second) as b:
        return compare_results(a, b)


# The noise of finite draws


def ratio(first: ClassPredictions, second: ClassPredictions) -> float:
    test = compare_with_noise(first, second)
    return test.ratio / test.limit


def test_two_runs_of_one_network_are_not_called_different() -> None:
    """60 pairs of runs: at a rate of 1e-3 each, three alarms or more have a probability of 3e-5."""
    alarms = sum(
        ratio(WORLD.predict(seed, mc_iters), WORLD.predict(seed + 500, 40)) > 1.0
        for mc_iters in (20, 40, 53)
        for seed in range(20)
    )
    assert alarms < 3
    assert FALSE_ALARM == 1e-3


def test_noise_that_all_examples_share_is_no_difference() -> None:
    """One direction of noise, the hardest law: the same bound."""
    world = Classifier(40, shared=0.0, own=0.0)
    base, direction = world.draws(0, 1)[0], np.random.default_rng(0).normal(0.0, 0.04, (40, 4))
    direction -= direction.mean(axis=-1, keepdims=True)

    def runs(seed: int) -> ClassPredictions:
        noise = np.random.default_rng(seed).uniform(-1.0, 1.0, (40, 1, 1))
        p = np.clip(base + noise * direction * base.min(axis=-1, keepdims=True) * 10, 0.0, 1.0)
        return of_draws((p / p.sum(axis=-1, keepdims=True)).astype(np.float32))

    alarms = sum(ratio(runs(seed), runs(seed + 500)) > 1.0 for seed in range(60))
    assert alarms < 3


@pytest.mark.parametrize("bias", [3.0, 30.0])
def test_another_network_is_different(bias: float) -> None:
    """The planted difference: a logit that moves, at last as far as a network that is dead and says one class alone."""
    assert all(ratio(WORLD.predict(seed, 40), WORLD.predict(seed + 500, 40, bias=bias)) > 1.0 for seed in range(10))


def test_common_random_numbers_find_what_other_seeds_do_not() -> None:
    first = WORLD.predict(0, 40)
    assert ratio(first, WORLD.predict(0, 40, bias=0.2)) > 1.0 > ratio(first, WORLD.predict(9, 40, bias=0.2))


def test_without_draws_that_differ_any_difference_is_one() -> None:
    certain = Classifier(20, shared=0.0, own=0.0)
    same = compare_with_noise(certain.predict(0, 40), certain.predict(1, 40))
    assert not same.is_different
    assert compare_with_noise(certain.predict(0, 40), certain.predict(1, 40, bias=0.1)).is_different


# Files


def test_a_file_and_itself(tmp_path: Path) -> None:
    path = classes(tmp_path / "a.h5")
    found = compare(path, path)
    assert isinstance(found.change, ClassChange)
    assert not found.noise.is_different
    assert not found.change.flipped.any()
    assert found.change.total_variation.max() == 0.0
    assert len(found.most_changed()) == 0
    assert found.uncertainty.value == pytest.approx(1.0)
    assert "do not differ beyond the noise" in found.verdict
    assert "NLL unchanged within +-0;" in found.verdict
    assert "Uncertainty ranking kept (rho = 1.00" in found.verdict


def test_changes_of_examples_follow_from_the_means(tmp_path: Path) -> None:
    found = compare(classes(tmp_path / "a.h5"), classes(tmp_path / "b.h5", 1, bias=3.0))
    change = found.change
    assert isinstance(change, ClassChange)
    a, b = WORLD.draws(0, 40).mean(axis=0, dtype=float), WORLD.draws(1, 40, bias=3.0).mean(axis=0, dtype=float)
    m = (a + b) / 2.0
    divergence = (a * np.log(a / m) + b * np.log(b / m)).sum(axis=-1) / 2.0
    np.testing.assert_allclose(change.js_divergence, divergence, rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(change.total_variation, np.abs(a - b).sum(axis=-1) / 2.0, rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(change.flipped, a.argmax(axis=-1) != b.argmax(axis=-1))
    order = found.most_changed(60)
    flips = int(change.flipped.sum())
    assert change.flipped[order[:flips]].all()
    assert (np.diff(change.total_variation[order[:flips]]) <= 0.0).all()
    assert "The predictions differ" in found.verdict
    assert found.metrics["nll"].is_clear
    assert "NLL rises by" in found.verdict


def test_the_noise_floor_is_what_runs_of_one_network_differ_by(tmp_path: Path) -> None:
    pairs = [compare(classes(tmp_path / f"a{s}.h5", s), classes(tmp_path / f"b{s}.h5", s + 50)) for s in range(5)]
    changes = [pair.change for pair in pairs]
    for real, floor in (("total_variation", "noise_total_variation"), ("js_divergence", "noise_js_divergence")):
        found = np.mean([getattr(change, real).mean() for change in changes])
        assert np.mean([getattr(change, floor) for change in changes]) == pytest.approx(found, rel=0.25)
    ceiling = np.mean([pair.uncertainty.ceiling for pair in pairs])
    assert ceiling == pytest.approx(np.mean([pair.uncertainty.value for pair in pairs]), abs=0.06)


def test_intervals_hold_the_truth(tmp_path: Path) -> None:
    """95 % intervals of the same data: MC errors alone count, so that they are too wide rather than too narrow."""
    truth = {}
    for bias in (0.0, 1.0):
        mean = WORLD.draws(7, 2000, bias=bias).mean(axis=0)
        truth[bias] = float(-np.log(mean[np.arange(60), WORLD.labels]).mean())
    difference, held = truth[1.0] - truth[0.0], 0
    for seed in range(6):
        a, b = classes(tmp_path / f"a{seed}.h5", seed), classes(tmp_path / f"b{seed}.h5", seed + 50, bias=1.0)
        item = compare(a, b).metrics["nll"]
        assert item.joint_half_width > item.half_width > 0.0
        held += abs(item.difference.value - difference) <= item.half_width
    assert held >= 4  # 3 or fewer of 6 have a probability of 0.2 %, and less as intervals are wide


def test_files_without_labels(tmp_path: Path) -> None:
    a, b = (write(tmp_path / f"{s}.h5", Draws(WORLD.draws(s, 40)), None) for s in (0, 1))
    found = compare(a, b)
    assert set(found.metrics) == {"predictive_entropy", "expected_entropy", "mutual_information", "variation_ratio"}
    assert found.labels is None
    assert "accuracy" not in found.verdict


def values(path: Path, seed: int, *, scale: bool = True, shift: float = 0.0, widen: float = 1.0) -> Path:
    rng = np.random.default_rng(seed)
    center = np.random.default_rng(99).normal(0.0, 1.0, (50, 2))
    mean = (center + shift + rng.normal(0.0, 0.3, (40, 50, 2))).astype(np.float32)
    sigma = np.full(mean.shape, 0.5 * widen, np.float32) if scale else None
    targets = (center + np.random.default_rng(98).normal(0.0, 0.5, center.shape)).astype(np.float32)
    return write(path, Draws(mean, sigma), targets, task=Task.REGRESSION)


@pytest.mark.parametrize("scale", [True, False])
def test_regressions(tmp_path: Path, scale: bool) -> None:
    a, b, c = (
        values(tmp_path / "a.h5", 0, scale=scale),
        values(tmp_path / "b.h5", 1, scale=scale),
        values(tmp_path / "c.h5", 2, scale=scale, shift=0.4, widen=2.0),
    )
    same, other = compare(a, b), compare(a, c)
    assert not same.noise.is_different
    assert other.noise.is_different
    assert isinstance(same.change, ValueChange)
    assert isinstance(other.change, ValueChange)
    assert same.change.noise_shift == pytest.approx(math.sqrt(np.square(same.change.shift).mean()), rel=0.3)
    assert other.change.shift.mean() > 3.0 * same.change.shift.mean()
    if scale:
        assert np.median(other.change.stddev_ratio) == pytest.approx(1.04 / 0.58, rel=0.1)
    assert other.metrics["rmse"].is_clear
    assert "RMSE rises by" in other.verdict
    assert len(other.most_changed(5)) == 5


# Refusals


def test_files_of_other_data_are_refused(tmp_path: Path) -> None:
    good = classes(tmp_path / "a.h5")
    draws = Draws(WORLD.draws(0, 40))
    others = {
        "other labels for the same examples": classes(tmp_path / "l.h5", labels=(WORLD.labels + 1) % 4),
        "their inputs are not the same": write(tmp_path / "i.h5", draws, WORLD.labels, inputs=np.ones((60, 1))),
        "60 examples and 4 classes, 50 examples and 4 classes": write(
            tmp_path / "n.h5", Draws(draws.values[:, :50]), WORLD.labels[:50]
        ),
        "60 examples and 4 classes, 60 examples and 2 classes": write(
            tmp_path / "c.h5", Draws(draws.values[..., :2]), WORLD.labels % 2
        ),
        "a classification and a regression": values(tmp_path / "r.h5", 0),
    }
    for message, path in others.items():
        with pytest.raises(InputError, match=message):
            compare(good, path)


# Command line


def test_compare_prints_a_table_and_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b = str(classes(tmp_path / "a.h5")), str(classes(tmp_path / "b.h5", 1, bias=3.0))
    assert run(["compare", a, b, "--top", "3"]) == 0
    text = capsys.readouterr().out
    assert "+- (95 %)" in text
    assert "The predictions differ" in text
    assert run(["compare", a, b, "--top", "3", "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["schema"] == "bprune-compare 1"
    assert content["is_different"] is True
    assert len(content["most_changed"]) == 3
    nll = content["metrics"]["nll"]
    assert nll["low"] < nll["difference"]["value"] < nll["high"]
    assert run(["compare", a, str(values(tmp_path / "r.h5", 0)), "--json"]) == 4


def test_metrics_prints_a_table_and_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, r = str(classes(tmp_path / "a.h5")), str(values(tmp_path / "r.h5", 0))
    assert run(["metrics", a]) == 0
    assert "expected calibration error" in capsys.readouterr().out
    assert run(["metrics", a, "--ood", a, "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["metrics"]["ood_auroc_entropy"]["value"] == 0.5
    assert content["metrics"]["accuracy"].keys() == {"value", "data_stderr", "mc_stderr"}
    assert run(["metrics", r, "--ood", a, "--json"]) == 2
    capsys.readouterr()
    unlabelled = str(write(tmp_path / "u.h5", Draws(WORLD.draws(0, 40)), None))
    assert run(["metrics", unlabelled]) == 0
    printed = capsys.readouterr()
    assert "accuracy" not in printed.out
    assert "no labels" in printed.err
