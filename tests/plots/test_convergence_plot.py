"""Means and metrics against the number of draws."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bprune import open_results
from bprune.arrays import AnyArray
from bprune.errors import InputError, UsageError
from bprune.plots import convergence_data
from bprune.plots.convergence import ConvergenceData
from tests.plots.plots_world import classification, regression, two_classes

EXAMPLES = 30


def _draws(seed: int, mc_iters: int = 100, noise: float = 0.1) -> AnyArray:
    rng = np.random.default_rng(seed)
    first = np.linspace(0.2, 0.8, EXAMPLES) + noise * rng.normal(size=(mc_iters, EXAMPLES))
    return two_classes(np.clip(first, 0.0, 1.0))


LABELS = np.random.default_rng(9).integers(0, 2, EXAMPLES)


def _data(
    path: Path, example: int | None = None, output: int | None = None, metrics: tuple[str, ...] = ()
) -> ConvergenceData:
    with open_results(path) as results:
        return convergence_data([results], example, output, metrics)


def test_the_last_point_is_what_the_file_says(tmp_path: Path) -> None:
    path = classification(tmp_path / "a.h5", _draws(0), LABELS)
    data = _data(path, 3, 1, metrics=("accuracy", "nll", "brier"))
    mean, accuracy, nll, brier = (curves[0] for curves in data.panels.values())
    with open_results(path) as results:
        metrics, summary = results.metrics(), results.summary
    np.testing.assert_allclose(mean.values[-1], summary.mean[3, 1], rtol=1e-6)
    np.testing.assert_allclose(mean.mc_stderr[-1], summary.mc_stderr[3, 1], rtol=1e-4)
    np.testing.assert_allclose(accuracy.values[-1], metrics["accuracy"].value)
    np.testing.assert_allclose(nll.values[-1], metrics["nll"].value, rtol=1e-5)
    np.testing.assert_allclose(nll.mc_stderr[-1], metrics["nll"].mc_stderr, rtol=1e-3)
    np.testing.assert_allclose(accuracy.mc_stderr[-1], metrics["accuracy"].mc_stderr, rtol=1e-3)
    target = np.eye(2)[LABELS]
    np.testing.assert_allclose(brier.values[-1], np.square(summary.mean - target).sum(-1).mean(), rtol=1e-5)
    for curve in (mean, accuracy, nll, brier):
        assert curve.draws[0] == 1
        assert curve.draws[-1] == 100
        assert np.isnan(curve.mc_stderr[0])


def test_every_point_is_that_of_its_first_draws(tmp_path: Path) -> None:
    draws = _draws(0).astype(np.float32)
    data = _data(classification(tmp_path / "a.h5", draws, LABELS), 3, 1)
    mean, accuracy, nll = (curves[0] for curves in data.panels.values())
    for row, count in enumerate(mean.draws):
        part = draws[:count].astype(np.float64)
        np.testing.assert_allclose(mean.values[row], part[:, 3, 1].mean(), rtol=1e-6)
        if count > 1:
            np.testing.assert_allclose(mean.mc_stderr[row], part[:, 3, 1].std(ddof=1) / np.sqrt(count), rtol=1e-5)
        np.testing.assert_allclose(accuracy.values[row], np.mean(part.mean(0).argmax(-1) == LABELS))
        picked = part.mean(0)[np.arange(EXAMPLES), LABELS]
        np.testing.assert_allclose(nll.values[row], -np.log(picked).mean(), rtol=1e-6)


def test_the_band_of_a_metric_covers_shared_noise(tmp_path: Path) -> None:
    """All examples share the noise of a draw, so that adding per-example errors gives a band that is far too narrow.

    The NLL of 20 draws in 25 runs: the mean standard error is within a factor of 1.8 of their spread. The spread of 25
    normals is known to 14 %, the mean standard error to 3 %; a false alarm is below 1e-4. Errors added per example as
    if they were independent are below half of it: the planted bug.
    """
    values, errors, added = [], [], []
    for seed in range(25):
        rng = np.random.default_rng(seed)
        shared = rng.normal(size=(20, 1))
        draws = two_classes(1.0 / (1.0 + np.exp(-(np.linspace(-1.0, 1.0, EXAMPLES) + shared))))
        data = _data(classification(tmp_path / f"{seed}.h5", draws, np.zeros(EXAMPLES, int)), 0, 0, metrics=("nll",))
        curve = list(data.panels.values())[1][0]
        values.append(curve.values[-1])
        errors.append(curve.mc_stderr[-1])
        picked = draws[:, :, 0]
        each = picked.std(axis=0, ddof=1) / np.sqrt(20.0) / picked.mean(axis=0)
        added.append(np.sqrt(np.square(each).sum()) / EXAMPLES)
    spread = np.std(values, ddof=1)
    assert spread / 1.8 < np.mean(errors) < spread * 1.8
    assert np.mean(added) < spread / 2.0


def test_pairs_stay_together(tmp_path: Path) -> None:
    """Antithetic pairs of opposite noise cancel: the standard error is that of pair means, which do not vary."""
    noise = 0.1 * np.random.default_rng(0).normal(size=(20, EXAMPLES))
    first = 0.5 + np.stack([noise, -noise], axis=1).reshape(40, EXAMPLES)
    data = _data(classification(tmp_path / "a.h5", two_classes(first), LABELS, antithetic=True), 0, 0)
    curve = next(iter(data.panels.values()))[0]
    assert (curve.draws % 2 == 0).all()
    np.testing.assert_allclose(curve.values, 0.5, atol=1e-6)
    np.testing.assert_allclose(curve.mc_stderr[1:], 0.0, atol=1e-6)


def test_the_default_place_is_the_least_settled(tmp_path: Path) -> None:
    draws = _draws(0)
    draws[:, 7] = two_classes((np.arange(100) % 2).astype(float))
    assert next(iter(_data(classification(tmp_path / "a.h5", draws)).panels)).startswith("example 7: mean probability")


def test_a_regression(tmp_path: Path) -> None:
    mean = np.random.default_rng(0).normal(size=(50, 6, 2))
    targets = np.zeros((6, 2))
    path = regression(tmp_path / "a.h5", mean, np.ones_like(mean), np.ones((6, 3)), targets)
    data = _data(path, 2, 1)
    assert list(data.panels) == ["example 2: mean output 1", "root mean squared error"]
    rmse = data.panels["root mean squared error"][0]
    expected = np.sqrt(np.square(mean.astype(np.float32).mean(axis=0)).mean())
    np.testing.assert_allclose(rmse.values[-1], expected, rtol=1e-5)
    with pytest.raises(UsageError, match=r"no course of the metric nll of a regression\n.*rmse"):
        _data(path, metrics=("nll",))


def test_missing_requirements_say_what_to_do(tmp_path: Path) -> None:
    unlabelled = classification(tmp_path / "a.h5", _draws(0))
    assert len(_data(unlabelled).panels) == 1
    with pytest.raises(InputError, match=r"has no labels.*\n.*--labels"):
        _data(unlabelled, metrics=("nll",))
    with pytest.raises(UsageError, match="there is no example 30"):
        _data(unlabelled, 30)
    with pytest.raises(UsageError, match="there is no class or output 2"):
        _data(unlabelled, 0, 2)
    uneven = classification(tmp_path / "b.h5", _draws(0), made=np.arange(71, 71 + EXAMPLES))
    with pytest.raises(InputError, match=r"other numbers of draws.*\n.*fixed --mc-iters"):
        _data(uneven)
