"""Accuracy, NLL and entropies of the fast engines are those of the graph, on every sample case, at every sparsity.

Every engine makes 20 independent blocks of 5 draws. What is compared are statistics of the mean over a block: blocks
are independent and alike, whether an engine shares weights between examples or not, so that Welch's t-test of 20
blocks of one engine and 20 of the other holds the MC error whole. The level of one comparison is 1e-8; there are fewer
than 100, so the false-alarm rate of this file is 1e-6.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from bprune import load_case
from bprune.arrays import AnyArray, FloatArray
from bprune.case import Case
from bprune.case.task import Task
from bprune.engines.choose import EngineName, prepare_engine
from bprune.engines.native.noise import DrawNoise
from bprune.posterior import Network, read_network
from bprune.pruning import Rule, choose_masks

LEVEL = 1e-8
BLOCKS, DRAWS, EXAMPLES = 20, 5, 60
CASES = ("digits_fc", "digits_conv", "regression_1d")
SPARSITIES = (0.0, 0.5, 0.8, 0.95)
ENGINES = (EngineName.NATIVE, EngineName.TENSORFLOW)
SAMPLES = Path(__file__).resolve().parents[2] / "sample_checkpoints"

Statistics = Mapping[str, AnyArray]
"""`[block]` by name."""


@functools.cache
def world(name: str) -> tuple[Case, Network, FloatArray, AnyArray]:
    """A sample case with some of its held-out data; every sixth example, so that all classes are there."""
    case = load_case(SAMPLES / name)
    assert case.files.heldout is not None
    with np.load(case.files.heldout, allow_pickle=False) as file:
        step = len(file["x"]) // EXAMPLES
        return case, read_network(case), file["x"][::step][:EXAMPLES], file["y"][::step][:EXAMPLES]


@functools.cache
def blocks(name: str, sparsity: float, engine: EngineName) -> Statistics:
    """The statistics of every block."""
    case, network, inputs, labels = world(name)
    masks = choose_masks(network, Rule(threshold=None, sparsity=sparsity))
    seed = 1 + list(EngineName).index(engine)
    prepared = prepare_engine(case, network, masks, seed=seed, name=engine).engine
    prepared.prepare(len(inputs))
    draws = prepared.draw(inputs, range(BLOCKS * DRAWS))
    values = draws.values.reshape(BLOCKS, DRAWS, *draws.values.shape[1:]).astype(np.float64)
    mean = values.mean(1)
    if case.task is Task.REGRESSION:
        assert draws.scale is not None
        scale = draws.scale.reshape(values.shape).astype(np.float64)
        truth = labels.reshape(mean.shape[1:])
        likelihood = stats.norm.pdf(truth, values, scale).mean(1)
        return {
            "rmse": np.sqrt(np.square(mean - truth).mean((1, 2))),
            "nll": -np.log(likelihood).mean((1, 2)),
            "noise": scale.mean((1, 2, 3)),
            "spread": values.std(1).mean((1, 2)),
        }
    return {
        "accuracy": (mean.argmax(-1) == labels).mean(-1),
        "nll": -np.log(np.maximum(mean[:, np.arange(len(labels)), labels], 1e-30)).mean(-1),
        "predictive entropy": stats.entropy(mean, axis=-1).mean(-1),
        "expected entropy": stats.entropy(values, axis=-1).mean((1, 2)),
    }


def p_values(first: Statistics, second: Statistics) -> dict[str, float]:
    """Of equal expectations, by statistic; of what never varies, 1 or 0."""
    return {name: _welch(values, second[name]) for name, values in first.items()}


def _welch(first: AnyArray, second: AnyArray) -> float:
    variances = [float(np.var(item, ddof=1)) / BLOCKS if np.ptp(item) else 0.0 for item in (first, second)]
    difference = float(first.mean() - second.mean())
    if not any(variances):
        return float(abs(difference) < 1e-12)
    freedom = sum(variances) ** 2 / sum(item**2 / (BLOCKS - 1) for item in variances)
    return 2.0 * float(stats.t.sf(abs(difference) / np.sqrt(sum(variances)), freedom))


@pytest.mark.parametrize("sparsity", SPARSITIES)
@pytest.mark.parametrize("name", CASES)
def test_scores_and_entropies_are_those_of_the_graph(name: str, sparsity: float) -> None:
    _, network, _, _ = world(name)
    masks = choose_masks(network, Rule(threshold=None, sparsity=sparsity))
    if not all(mask.any() for mask in masks.values()):
        pytest.skip("a layer has no weight left")
    for engine in ENGINES:
        found = p_values(blocks(name, sparsity, EngineName.GRAPH), blocks(name, sparsity, engine))
        assert min(found.values()) > LEVEL, (engine, found)


@pytest.mark.parametrize("name", ["digits_fc", "regression_1d"])
def test_noise_that_is_too_large_is_noticed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A planted bug: standard deviations that are 1.5 times too large. Those of digits_conv hardly matter to it."""
    monkeypatch.setattr(DrawNoise, "of", lambda draw, antithetic: DrawNoise(draw, 1.5))
    planted = blocks.__wrapped__(name, 0.0, EngineName.NATIVE)
    assert min(p_values(blocks(name, 0.0, EngineName.GRAPH), planted).values()) < LEVEL


@pytest.mark.parametrize("name", CASES)
def test_other_masks_are_noticed(name: str) -> None:
    """A planted bug: the weights of another sparsity."""
    assert min(p_values(blocks(name, 0.8, EngineName.GRAPH), blocks(name, 0.95, EngineName.NATIVE)).values()) < LEVEL
