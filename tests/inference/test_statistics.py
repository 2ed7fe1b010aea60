"""Running statistics against plain NumPy over the full array of draws."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bprune.arrays import AnyArray, Float64Array, FloatArray
from bprune.engines.base import Draws
from bprune.errors import InputError, UsageError
from bprune.inference.statistics import ClassificationMoments, RegressionMoments
from bprune.metrics.labels import class_labels, regression_targets


def probabilities(seed: int, draws: int, examples: int, classes: int, concentration: float = 0.3) -> FloatArray:
    rng = np.random.default_rng(seed)
    return rng.dirichlet(np.full(classes, concentration), size=(draws, examples)).astype(np.float32)


def entropy(p: Float64Array) -> Float64Array:
    terms = np.where(p > 0, p * np.log(np.where(p > 0, p, 1.0)), 0.0)
    total: Float64Array = -terms.sum(axis=-1)
    return total


def assert_equal_moments(a: object, b: object, rtol: float = 1e-12) -> None:
    assert dataclasses.is_dataclass(a)
    assert dataclasses.is_dataclass(b)
    for item in dataclasses.fields(a):
        left, right = getattr(a, item.name), getattr(b, item.name)
        if left is None or right is None:
            assert left is right
        elif dataclasses.is_dataclass(left):
            assert_equal_moments(left, right, rtol)
        else:
            np.testing.assert_allclose(left, right, rtol=rtol, atol=1e-14, err_msg=item.name)


def cuts(total: int) -> st.SearchStrategy[list[int]]:
    return st.lists(st.integers(0, total), max_size=6).map(lambda inner: [0, *sorted(inner), total])


def chunks(values: AnyArray, edges: Sequence[int]) -> list[AnyArray]:
    return [values[a:b] for a, b in itertools.pairwise(edges)]


def by_block(values: AnyArray, reduced: Callable[..., AnyArray]) -> AnyArray:
    """Something of every block of draws, draw s in block s mod 20, `[example, block, ...]`."""
    return np.stack([reduced(values[block::20], axis=0) for block in range(20)], axis=1)


def test_a_classification_summary_equals_numpy_over_all_draws() -> None:
    p = probabilities(0, 40, 7, 5)
    exact = p.astype(np.float64)
    votes = p.argmax(axis=-1)[..., None] == np.arange(5)
    summary = ClassificationMoments.start(7, 5).update(Draws(p)).summary()
    expected = {
        "mean": exact.mean(axis=0),
        "stddev": exact.std(axis=0, ddof=1),
        "predictive_entropy": entropy(exact.mean(axis=0)),
        "expected_entropy": entropy(exact).mean(axis=0),
        "mutual_information": entropy(exact.mean(axis=0)) - entropy(exact).mean(axis=0),
        "mc_stderr": exact.std(axis=0, ddof=1) / math.sqrt(40),
        "block_mean": by_block(exact, np.mean),
        "block_expected_entropy": by_block(entropy(exact), np.mean),
        "block_votes": by_block(votes, np.sum),
    }
    assert list(expected) == [item.name for item in dataclasses.fields(summary)]
    for name, value in expected.items():
        got = getattr(summary, name)
        assert got.dtype == (np.int32 if name == "block_votes" else np.float32)
        np.testing.assert_allclose(got, value, rtol=1e-6, atol=1e-7, err_msg=name)


def test_two_draws_by_hand() -> None:
    p = np.array([[[1.0, 0.0]], [[0.5, 0.5]]], np.float32)
    summary = ClassificationMoments.start(1, 2).update(Draws(p)).summary()
    np.testing.assert_allclose(summary.mean, [[0.75, 0.25]])
    np.testing.assert_allclose(summary.stddev, [[0.5 / math.sqrt(2)] * 2], rtol=1e-6)
    np.testing.assert_allclose(summary.expected_entropy, [math.log(2) / 2], rtol=1e-6)
    np.testing.assert_allclose(summary.predictive_entropy, [-0.75 * math.log(0.75) - 0.25 * math.log(0.25)], rtol=1e-6)


def test_one_draw_has_no_spread_and_no_mutual_information() -> None:
    summary = ClassificationMoments.start(3, 4).update(Draws(probabilities(1, 1, 3, 4))).summary()
    assert not summary.stddev.any()
    assert not summary.mc_stderr.any()
    assert not summary.mutual_information.any()


def test_certain_draws_have_no_entropy() -> None:
    p = np.zeros((2, 1, 3), np.float32)
    p[..., 1] = 1.0
    summary = ClassificationMoments.start(1, 3).update(Draws(p)).summary()
    assert summary.predictive_entropy.tolist() == [0.0]
    assert not np.signbit(summary.predictive_entropy).any()


def test_disagreeing_certain_draws_are_all_epistemic() -> None:
    p = np.array([[[1.0, 0.0]], [[0.0, 1.0]]], np.float32)
    summary = ClassificationMoments.start(1, 2).update(Draws(p)).summary()
    np.testing.assert_allclose(summary.mutual_information, [math.log(2)], rtol=1e-6)
    assert summary.expected_entropy.tolist() == [0.0]


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 2**31), edges=cuts(17))
def test_chunks_of_any_size_give_the_same_classification(seed: int, edges: list[int]) -> None:
    p = probabilities(seed, 17, 3, 4)
    whole = chunked = ClassificationMoments.start(3, 4)
    for chunk in chunks(p, edges):
        chunked = chunked.update(Draws(chunk))
    assert_same_bytes(chunked.summary(), whole.update(Draws(p)).summary())


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 2**31), edges=cuts(13))
def test_chunks_of_any_size_give_the_same_regression(seed: int, edges: list[int]) -> None:
    rng = np.random.default_rng(seed)
    mean = rng.normal(3.0, 2.0, (13, 4, 2)).astype(np.float32)
    scale = rng.uniform(0.2, 2.0, mean.shape).astype(np.float32)
    targets = rng.normal(3.0, 2.0, (4, 2))
    whole = chunked = RegressionMoments.start(4, 2)
    for m, s in zip(chunks(mean, edges), chunks(scale, edges), strict=True):
        chunked = chunked.update(Draws(m, s), targets)
    assert_same_bytes(chunked.summary(), whole.update(Draws(mean, scale), targets).summary())


def assert_same_bytes(first: Any, second: Any) -> None:
    """Law 7."""
    for item in dataclasses.fields(first):
        assert getattr(first, item.name).tobytes() == getattr(second, item.name).tobytes(), item.name  # NaN too


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 2**31),
    draws=st.integers(1, 12),
    classes=st.integers(2, 6),
    concentration=st.sampled_from([0.01, 0.3, 5.0, 1000.0]),
)
def test_entropies_stay_within_their_bounds(seed: int, draws: int, classes: int, concentration: float) -> None:
    p = probabilities(seed, draws, 5, classes, concentration)
    summary = ClassificationMoments.start(5, classes).update(Draws(p)).summary()
    limit = math.log(classes) * (1 + 1e-5)
    assert (summary.mutual_information >= 0).all()
    assert (summary.mutual_information <= summary.predictive_entropy + 1e-6).all()
    for value in (summary.predictive_entropy, summary.expected_entropy):
        assert (value >= 0).all()
        assert (value <= limit).all()


def test_a_regression_summary_equals_numpy_over_all_draws() -> None:
    rng = np.random.default_rng(3)
    mean = rng.normal(-1.0, 2.0, (30, 6, 2)).astype(np.float32)
    scale = rng.uniform(0.5, 3.0, mean.shape).astype(np.float32)
    targets = rng.normal(-1.0, 2.0, (6, 2)).astype(np.float32)
    summary = RegressionMoments.start(6, 2).update(Draws(mean, scale), targets).summary()
    m, s, t = mean.astype(np.float64), scale.astype(np.float64), targets.astype(np.float64)
    density = np.exp(-0.5 * ((t - m) / s) ** 2) / (s * math.sqrt(2 * math.pi))
    expected = {
        "mean": m.mean(axis=0),
        "stddev": np.sqrt((s**2).mean(axis=0) + m.var(axis=0, ddof=1)),
        "aleatoric_stddev": np.sqrt((s**2).mean(axis=0)),
        "epistemic_stddev": m.std(axis=0, ddof=1),
        "mc_stderr": m.std(axis=0, ddof=1) / math.sqrt(30),
        "log_likelihood": np.log(density.prod(axis=-1).mean(axis=0)),
        "block_mean": by_block(m, np.mean),
        "block_squares": by_block(m, lambda part, axis: np.square(part - part.mean(axis=axis)).sum(axis=axis)),
        "block_noise_variance": by_block(s**2, np.mean),
        "block_log_likelihood": np.log(by_block(density.prod(axis=-1), np.mean)),
    }
    assert list(expected) == [item.name for item in dataclasses.fields(summary)]
    for name, value in expected.items():
        got = getattr(summary, name)
        assert got.dtype == np.float32
        np.testing.assert_allclose(got, value, rtol=1e-5, atol=1e-7, err_msg=name)


def test_the_likelihood_of_far_targets_does_not_underflow() -> None:
    mean = np.zeros((2, 1, 1), np.float32)
    moments = RegressionMoments.start(1, 1).update(Draws(mean, np.full_like(mean, 0.01)), np.array([10.0]))
    expected = -0.5 * 1000.0**2 - math.log(0.01) - 0.5 * math.log(2 * math.pi)
    log_likelihood = moments.summary().log_likelihood
    assert log_likelihood is not None
    np.testing.assert_allclose(log_likelihood, [expected], rtol=1e-5)


def test_a_scale_of_zero_gives_a_finite_likelihood() -> None:
    mean = np.zeros((1, 1, 1), np.float32)
    summary = RegressionMoments.start(1, 1).update(Draws(mean, np.zeros_like(mean)), np.array([[1.0]])).summary()
    assert summary.log_likelihood is not None
    assert np.isfinite(summary.log_likelihood).all()


def test_a_network_without_scale_has_no_noise_and_no_likelihood() -> None:
    mean = np.arange(6, dtype=np.float32).reshape(3, 2, 1)
    summary = RegressionMoments.start(2, 1).update(Draws(mean), np.zeros((2, 1))).summary()
    assert not summary.aleatoric_stddev.any()
    np.testing.assert_array_equal(summary.stddev, summary.epistemic_stddev)
    assert summary.log_likelihood is None


def test_an_update_without_draws_changes_nothing() -> None:
    moments = ClassificationMoments.start(2, 3).update(Draws(probabilities(0, 4, 2, 3)))
    assert_equal_moments(moments.update(Draws(np.zeros((0, 2, 3), np.float32))), moments)
    empty = RegressionMoments.start(2, 1)
    assert empty.update(Draws(np.zeros((0, 2, 1), np.float32))) is empty


def test_no_draws_cannot_be_summarised() -> None:
    with pytest.raises(UsageError, match="no draws to summarise"):
        ClassificationMoments.start(2, 3).summary()
    with pytest.raises(UsageError, match="no draws to summarise"):
        RegressionMoments.start(2, 3).summary()


def test_draws_of_other_shapes_are_refused() -> None:
    with pytest.raises(UsageError, match=r"shape \(3, 3\) do not fit statistics of the shape \(2, 3\)"):
        ClassificationMoments.start(2, 3).update(Draws(probabilities(0, 4, 3, 3)))
    with pytest.raises(UsageError, match="do not fit"):
        RegressionMoments.start(2, 1).update(Draws(np.zeros((3, 2, 2), np.float32)))


def test_scales_and_targets_do_not_come_and_go() -> None:
    mean = np.ones((2, 1, 1), np.float32)
    target = np.ones((1, 1))
    start = RegressionMoments.start(1, 1)
    with pytest.raises(UsageError, match="some have none"):
        start.update(Draws(mean, mean)).update(Draws(mean))
    with pytest.raises(UsageError, match="always or never"):
        start.update(Draws(mean, mean), target).update(Draws(mean, mean))


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.float64, np.bool_])
def test_whole_numbers_of_any_dtype_are_labels(dtype: type) -> None:
    labels = class_labels(np.array([[0], [1], [1]]).astype(dtype), 3, 2)
    assert labels.dtype == np.int64
    assert labels.tolist() == [0, 1, 1]


@pytest.mark.parametrize("wrong", [10, -1, 2.5, math.nan])
def test_a_label_that_is_no_class_is_named(wrong: float) -> None:
    with pytest.raises(InputError, match=rf"label {wrong} of example 1 is not one of the 10 classes \(0 to 9\)"):
        class_labels(np.array([3, wrong, 99]), 3, 10)


def test_labels_of_another_shape_or_kind_are_refused() -> None:
    with pytest.raises(InputError, match=r"(?s)shape \(3, 10\); 3 class numbers.*numpy\.argmax"):
        class_labels(np.eye(10)[:3], 3, 10)
    with pytest.raises(InputError, match="labels are <U3"):
        class_labels(np.array(["cat", "dog"]), 2, 10)


def test_targets_are_float32_columns() -> None:
    targets = regression_targets(np.array([1, 2]), 2, 1)
    assert targets.dtype == np.float32
    assert targets.tolist() == [[1.0], [2.0]]


def test_targets_that_do_not_fit_are_refused() -> None:
    with pytest.raises(InputError, match=r"shape \(2, 3\); numbers of the shape \(2, 1\)"):
        regression_targets(np.zeros((2, 3)), 2, 1)
    with pytest.raises(InputError, match="the target of example 1 is nan"):
        regression_targets(np.array([0.0, np.nan]), 2, 1)


@pytest.mark.parametrize("batch", [1, 3, 64])
def test_statistics_are_the_same_bytes_whatever_the_batch(batch: int) -> None:
    """Law 7: an example's numbers do not depend on which others it is run with."""
    p = probabilities(5, 31, 130, 7)
    whole = ClassificationMoments.start(130, 7).update(Draws(p)).summary()
    parts = [p[:, start : start + batch] for start in range(0, 130, batch)]
    summaries = [ClassificationMoments.start(part.shape[1], 7).update(Draws(part)).summary() for part in parts]
    for item in dataclasses.fields(whole):
        joined = np.concatenate([getattr(summary, item.name) for summary in summaries])
        assert joined.tobytes() == getattr(whole, item.name).tobytes(), item.name
