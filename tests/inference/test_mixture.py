"""Ensembles: the mixture against the draws themselves, and its MC errors against many runs."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import logsumexp
from scipy.stats import norm

from bprune.arrays import AnyArray, Float64Array
from bprune.engines.base import Draws
from bprune.errors import UsageError
from bprune.inference.mixture import mix_summaries, split_uncertainty
from bprune.inference.predict import mixture_of, predictions_of
from bprune.inference.statistics import (
    ClassificationMoments,
    ClassificationSummary,
    RegressionMoments,
    RegressionSummary,
)
from bprune.metrics import ClassPredictions, ValuePredictions, evaluate
from bprune.metrics.blocks import SIGNS
from bprune.metrics.entropy import entropy

CLASSES = 3


def probabilities(random: np.random.Generator, members: int, draws: int, examples: int) -> AnyArray:
    """`[member, draw, example, class]`; members lean to classes of their own."""
    logits = random.normal(size=(members, draws, examples, CLASSES)) + 2.0 * random.normal(
        size=(members, 1, examples, CLASSES)
    )
    return np.asarray(np.exp(logits - logsumexp(logits, axis=-1, keepdims=True)), np.float32)


def class_summaries(values: AnyArray, *, paired: bool = False) -> list[ClassificationSummary]:
    start = ClassificationMoments.start(*values.shape[2:], paired=paired)
    return [start.update(Draws(member)).summary() for member in values]


def class_mixture(values: AnyArray, *, paired: bool = False) -> ClassPredictions:
    counts = np.full(values.shape[2], values.shape[1])
    parts = [predictions_of(item, counts, paired=paired) for item in class_summaries(values, paired=paired)]
    mixed = mixture_of(parts)
    assert isinstance(mixed, ClassPredictions)
    return mixed


@settings(deadline=None, max_examples=30, derandomize=True)
@given(st.integers(2, 4), st.integers(1, 45), st.integers(1, 6), st.integers(0, 2**32 - 1))
def test_the_split_of_entropy_is_that_of_the_draws_and_adds_up(
    members: int, draws: int, examples: int, seed: int
) -> None:
    values = probabilities(np.random.default_rng(seed), members, draws, examples)
    exact = values.astype(np.float64)
    total = entropy(exact.mean(axis=(0, 1)))
    own = entropy(exact.mean(axis=1))
    expected = entropy(exact)
    within, between = (own - expected.mean(axis=1)).mean(axis=0), total - own.mean(axis=0)
    summaries = class_summaries(values)
    summary, split, predictions = mix_summaries(summaries), split_uncertainty(summaries), class_mixture(values)
    assert isinstance(summary, ClassificationSummary)
    for found in (split, predictions):
        np.testing.assert_allclose(found.within_members, within, atol=2e-6)
        np.testing.assert_allclose(found.between_members, between, atol=2e-6)
    for whole in (summary, predictions):
        np.testing.assert_allclose(whole.predictive_entropy, total, atol=2e-6)
        np.testing.assert_allclose(whole.expected_entropy, expected.mean(axis=(0, 1)), atol=2e-6)
        np.testing.assert_allclose(
            whole.predictive_entropy, whole.expected_entropy + split.within_members + split.between_members, atol=3e-6
        )
    np.testing.assert_allclose(summary.mean, exact.mean(axis=(0, 1)), atol=1e-6)
    np.testing.assert_array_equal(summary.mean, predictions.mean)
    spread = exact.var(axis=1, ddof=1).mean(axis=0) if draws > 1 else np.zeros(summary.mean.shape)
    np.testing.assert_allclose(np.square(summary.stddev), spread + exact.mean(axis=1).var(axis=0), atol=2e-6)


@settings(deadline=None, max_examples=30, derandomize=True)
@given(st.integers(2, 4), st.integers(2, 45), st.integers(1, 6), st.integers(0, 2**32 - 1))
def test_the_split_of_variance_is_that_of_the_draws_and_adds_up(
    members: int, draws: int, examples: int, seed: int
) -> None:
    random = np.random.default_rng(seed)
    mean = (random.normal(size=(members, draws, examples, 2)) + random.normal(size=(members, 1, examples, 2))).astype(
        np.float32
    )
    scale = (random.random((members, draws, examples, 2)) + 0.5).astype(np.float32)
    targets = random.normal(size=(examples, 2)).astype(np.float32)
    start = RegressionMoments.start(examples, 2)
    summaries = [start.update(Draws(item, noise), targets).summary() for item, noise in zip(mean, scale, strict=True)]
    summary, split = mix_summaries(summaries), split_uncertainty(summaries)
    assert isinstance(summary, RegressionSummary)
    mixed = mixture_of([predictions_of(item, np.full(examples, draws)) for item in summaries])
    assert isinstance(mixed, ValuePredictions)
    exact, noise = mean.astype(np.float64), np.square(scale, dtype=np.float64)
    within, between = exact.var(axis=1, ddof=1).mean(axis=0), exact.mean(axis=1).var(axis=0)
    for found in (split, mixed):
        np.testing.assert_allclose(found.within_members, within, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(found.between_members, between, rtol=1e-5, atol=1e-6)
    total = noise.mean(axis=(0, 1)) + within + between
    np.testing.assert_allclose(np.square(summary.stddev), total, rtol=1e-5)
    np.testing.assert_allclose(np.square(mixed.stddev), total, rtol=1e-5)
    of_draws = norm.logpdf(targets, mean, scale).sum(axis=-1).reshape(members * draws, examples)
    likelihood = logsumexp(of_draws, axis=0) - math.log(members * draws)
    np.testing.assert_allclose(np.asarray(summary.log_likelihood), likelihood, atol=1e-4)
    np.testing.assert_allclose(np.asarray(mixed.log_likelihood), likelihood, atol=1e-4)


def test_the_halves_of_an_ensemble_are_the_mixture_of_halves_of_its_members() -> None:
    values = probabilities(np.random.default_rng(0), 3, 40, 5)
    mixed = class_mixture(values)
    blocks = values.reshape(3, 2, 20, 5, CLASSES).mean(axis=1)  # draw s lies in block s mod 20
    for signs, (one, other) in zip(SIGNS, mixed.halves(), strict=True):
        np.testing.assert_allclose(one.mean, blocks[:, signs > 0].mean(axis=(0, 1)), atol=1e-6)
        np.testing.assert_allclose(other.mean, blocks[:, signs < 0].mean(axis=(0, 1)), atol=1e-6)
    kept = mixed.take(np.array([3, 1]))
    np.testing.assert_array_equal(kept.between_members, mixed.between_members[[3, 1]])
    assert [item.mean.shape for item in kept.members] == [(2, CLASSES)] * 3


RUNS, MEMBERS, DRAWS, EXAMPLES = 100, 3, 60, 40
Z = 5.0
"""The variance of R normal runs is off by more than Z sqrt(2 / (R - 1)) of itself in 6e-7 of the cases; nine quantities
are tested, so that a false alarm has a probability below 1e-5."""


def limit(runs: int) -> float:
    return Z * math.sqrt(2.0 / (runs - 1))


def _ratio(values: AnyArray, stderrs: AnyArray) -> Float64Array:
    """Mean squared standard error over the variance between runs; 1 where the standard error is right."""
    return np.asarray(np.mean(np.square(stderrs, dtype=np.float64), axis=0) / np.var(values, axis=0, ddof=1))


def _logits(random: np.random.Generator, centre: AnyArray, *shape: int) -> AnyArray:
    """Probabilities of draws that scatter little around each member's own."""
    logits = centre + 0.5 * random.normal(size=shape)
    return np.asarray(np.exp(logits - logsumexp(logits, axis=-1, keepdims=True)), np.float32)


def _blocked(values: AnyArray) -> ClassPredictions:
    """What the draws of one chain say, `[draw, example, class]`; draw s lies in block s mod 20."""
    blocks, entropies = (item.reshape(-1, 20, *item.shape[1:]).mean(axis=0) for item in (values, entropy(values)))
    counts = np.full(entropies.shape, len(values) // 20)
    return ClassPredictions(
        blocks.mean(axis=0), entropies.mean(axis=0), None, blocks, entropies, None, np.asarray(counts, np.int64)
    )


def _as_members(values: AnyArray, random: np.random.Generator) -> ClassPredictions:
    return ClassPredictions.mixture([_blocked(member) for member in values])


def _as_one_chain(values: AnyArray, random: np.random.Generator) -> ClassPredictions:
    """The planted bug: all draws in any order, as if members made no difference."""
    return _blocked(random.permutation(values.reshape(-1, *values.shape[2:])))


def _ratios(kind: Callable[..., ClassPredictions], *names: str) -> dict[str, float]:
    """The ratio of metrics over many runs of one ensemble with the same examples, whose draws share their weights."""
    random = np.random.default_rng(11)
    centre = 3.0 * random.normal(size=(MEMBERS, 1, EXAMPLES, CLASSES))
    labels = random.integers(0, CLASSES, EXAMPLES)
    found = []
    for _ in range(RUNS):
        values = _logits(random, centre, MEMBERS, DRAWS, 1, CLASSES)
        metrics = evaluate(kind(values, random), labels, names=names)
        found.append([(item.value, item.mc_stderr) for item in metrics.values()])
    table = np.array(found)
    return dict(zip(names, _ratio(table[:, :, 0], table[:, :, 1]), strict=True))


def test_mc_errors_of_metrics_take_members_as_strata() -> None:
    right = _ratios(_as_members, "nll", "brier", "within_members", "between_members")
    assert all(abs(ratio - 1.0) < limit(RUNS) for ratio in right.values()), right
    planted = _ratios(_as_one_chain, "nll", "brier")
    assert all(ratio - 1.0 > limit(RUNS) for ratio in planted.values()), planted


def test_the_mc_error_of_a_mean_takes_members_as_strata() -> None:
    """Each example is a run of its own here; the planted bug takes all draws as those of one chain."""
    random, runs = np.random.default_rng(3), 2000
    values = _logits(random, 3.0 * random.normal(size=(MEMBERS, 1, 1, CLASSES)), MEMBERS, 20, runs, CLASSES)
    summary = mix_summaries(class_summaries(values))
    planted = class_summaries(values.reshape(1, -1, runs, CLASSES))[0]
    right, wrong = (_ratio(summary.mean, item.mc_stderr) for item in (summary, planted))
    assert (np.abs(right - 1.0) < limit(runs)).all(), right
    assert (wrong - 1.0 > limit(runs)).all(), wrong


def test_antithetic_pairs_of_members() -> None:
    values = probabilities(np.random.default_rng(2), 2, 8, 3)
    values[:, 1::2] = values[:, ::2]  # both of a pair are the same: half as many observations
    pairs = mix_summaries(class_summaries(values, paired=True))
    alone = mix_summaries(class_summaries(values[:, ::2]))
    np.testing.assert_allclose(pairs.mc_stderr, alone.mc_stderr, rtol=1e-5)
    assert class_mixture(values, paired=True).half_scale == class_mixture(values[:, ::2]).half_scale


def test_what_cannot_be_mixed_is_refused() -> None:
    parts = [class_mixture(probabilities(np.random.default_rng(0), 1, draws, 4)) for draws in (5, 6)]
    with pytest.raises(UsageError, match="other numbers of draws"):
        ClassPredictions.mixture([item.members[0] for item in parts])
    with pytest.raises(UsageError, match="at least one member"):
        ClassPredictions.mixture([])
    with pytest.raises(UsageError, match="same examples and outputs"):
        ClassPredictions.mixture([parts[0], parts[0].take(np.arange(2))])
    with pytest.raises(UsageError, match="summaries of the shapes"):
        mix_summaries([])
