"""Kernels of noise and of probabilities against NumPy, and in two threads at once."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from scipy.special import log_softmax

from bprune.arrays import AnyArray, Float64Array, FloatArray
from bprune.engines.native.noise import WeightSampler
from bprune.lowering.weights import Stream
from tests.engines.native_noise_oracle import weight_noise

FAMILIES = ["Normal", "LogNormal", "Laplace"]
SIZES = [0, 1, 63, 64, 65, 1_500]


def parameters(size: int) -> tuple[FloatArray, FloatArray]:
    """Locations and scales without any symmetry; some scales are 0, some negative."""
    rng = np.random.default_rng(size)
    scale = rng.uniform(-0.3, 1.0, size) * (rng.random(size) < 0.8)
    return rng.normal(0.5, 1.0, size).astype(np.float32), scale.astype(np.float32)


def expected_weights(family: str, loc: AnyArray, scale: AnyArray, ids: AnyArray, draw: int) -> AnyArray:
    values = loc.astype(np.float64) + scale.astype(np.float64) * weight_noise(family, 3, "a#0", ids, draw)
    return np.asarray(np.exp(values) if family == "LogNormal" else values)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("size", SIZES)
def test_all_weights_are_sampled(family: str, size: int) -> None:
    loc, scale = parameters(size)
    out = np.full(size, np.nan, np.float32)
    WeightSampler(3, Stream("a", 0, size), family, loc, scale).sample(out, 9)
    np.testing.assert_allclose(out, expected_weights(family, loc, scale, np.arange(size), 9), rtol=2e-6, atol=2e-6)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("share", [1.0, 0.7, 0.02])
def test_some_weights_are_sampled_and_others_left_alone(family: str, share: float) -> None:
    size, rng = 5_003, np.random.default_rng(4)
    ids = rng.permutation(np.flatnonzero(rng.random(size) < share))
    targets = rng.permutation(size)[: ids.size]
    loc, scale = parameters(ids.size)
    expected = np.full(size, 7.0)
    expected[targets] = expected_weights(family, loc, scale, ids, 9)
    out = np.full(size, 7.0, np.float32)
    WeightSampler(3, Stream("a", 0, size), family, loc, scale, ids, targets).sample(out.reshape(1, -1), 9)
    np.testing.assert_allclose(out, expected, rtol=2e-6, atol=2e-6)


def test_whole_and_chosen_weights_are_the_same_bits() -> None:
    """Weights of a tensor do not depend on the kernel that makes them."""
    loc, scale = parameters(3_000)
    for family in FAMILIES:
        whole, chosen = np.empty(3_000, np.float32), np.empty(2_900, np.float32)
        WeightSampler(3, Stream("a", 0, 3_000), family, loc, scale).sample(whole, 1)
        ids = np.arange(100, 3_000)
        WeightSampler(3, Stream("a", 0, 3_000), family, loc[100:], scale[100:], ids).sample(chosen, 1)
        np.testing.assert_array_equal(chosen, whole[100:])


def test_exponentials_at_the_ends_of_float32() -> None:
    loc = np.array([-1e4, -88.0, -87.0, -1e-8, 0.0, 1e-3, 88.7, 88.8, 1e4, np.nan, -np.inf], np.float32)
    out = np.empty(loc.size, np.float32)
    WeightSampler(3, Stream("a", 0, loc.size), "LogNormal", loc, np.zeros_like(loc)).sample(out, 0)
    with np.errstate(over="ignore"):
        expected = np.exp(loc.astype(np.float64))
    expected[1], expected[7:9] = 0.0, np.inf  # below 2^-126 is 0
    np.testing.assert_allclose(out, expected, rtol=3e-7)
    loc = np.linspace(-87.0, 88.0, 200_001, dtype=np.float32)
    out = np.empty(loc.size, np.float32)
    WeightSampler(3, Stream("a", 0, loc.size), "LogNormal", loc, np.zeros_like(loc)).sample(out, 0)
    np.testing.assert_allclose(out, np.exp(loc.astype(np.float64)), rtol=3e-7)


def test_read_only_parameters_are_taken() -> None:
    loc, scale = parameters(100)
    loc.flags.writeable = False
    out = np.empty(100, np.float32)
    WeightSampler(3, Stream("a", 0, 100), "Normal", loc, scale).sample(out, 1)
    assert np.isfinite(out).all()


def run_softmax(logits: FloatArray, *, out: bool = True) -> tuple[FloatArray, Float64Array, Float64Array, Float64Array]:
    from bprune.engines.native.kernels_softmax import softmax_statistics

    shape = (logits.shape[0], max(logits.shape[1], 2))
    probabilities = np.full(shape if out else (0, shape[1]), np.nan, np.float32)
    sums, squares, entropies = np.full(shape, 2.0), np.full(shape, 3.0), np.full(shape[0], 4.0)
    softmax_statistics(logits, probabilities, sums, squares, entropies)
    return probabilities, sums - 2.0, squares - 3.0, entropies - 4.0


@pytest.mark.parametrize("classes", [1, 2, 3, 10, 100, 1_000])
@pytest.mark.parametrize("examples", [0, 1, 63, 64, 150])
def test_softmax_and_its_statistics(classes: int, examples: int) -> None:
    rng = np.random.default_rng(classes)
    logits = rng.normal(2.0, 4.0, (examples, classes)).astype(np.float32)
    both = np.concatenate([np.zeros_like(logits), logits], 1) if classes == 1 else logits
    exact = log_softmax(both.astype(np.float64), 1)
    p, sums, squares, entropies = run_softmax(logits)
    np.testing.assert_allclose(p, np.exp(exact), rtol=3e-6)
    np.testing.assert_allclose(sums, np.exp(exact), rtol=3e-6, atol=1e-15)
    np.testing.assert_allclose(squares, np.exp(2.0 * exact), rtol=6e-6, atol=1e-15)
    np.testing.assert_allclose(entropies, -(np.exp(exact) * exact).sum(1), rtol=0, atol=1e-6)
    assert np.abs(p.sum(1, dtype=np.float64) - 1.0).max(initial=0.0) < 1e-6
    for one, two in zip(run_softmax(logits, out=False)[1:], (sums, squares, entropies), strict=True):
        np.testing.assert_array_equal(one, two)


def test_extreme_logits() -> None:
    logits = np.array(
        [[1e30, -1e30, 0.0], [-np.inf, 5.0, 5.0], [-3e38, -3e38, -3e38], [1e4, 1e4, 1e4 - 200.0]], np.float32
    )
    p, _, _, entropies = run_softmax(logits)
    third = 1.0 / 3.0
    expected = [[1.0, 0.0, 0.0], [0.0, 0.5, 0.5], [third, third, third], [0.5, 0.5, 0.0]]
    np.testing.assert_allclose(p, expected, rtol=1e-6)
    np.testing.assert_allclose(entropies, [0.0, np.log(2), np.log(3), np.log(2)], atol=1e-6)
    assert (entropies >= 0.0).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_logits_that_are_not_finite_show(bad: float) -> None:
    logits = np.array([[0.0, 1.0, bad], [bad, 1.0, 0.0], [0.0, bad, 1.0], [1.0, 2.0, 3.0]], np.float32)
    p, sums, _, entropies = run_softmax(logits)
    assert np.isnan(p[:3]).any(1).all()
    assert np.isnan(sums[:3]).any(1).all()
    assert np.isnan(entropies[:3]).all()
    assert np.isfinite(p[3]).all()


def test_shapes_that_do_not_fit_are_refused() -> None:
    """A kernel would read or write beyond the arrays."""
    stream, ones = Stream("a", 0, 9), np.ones(4, np.float32)
    with pytest.raises(ValueError, match="differ in number"):
        WeightSampler(1, stream, "Normal", ones, ones[:3])
    sampler = WeightSampler(1, stream, "Normal", ones, ones, np.arange(4), np.array([0, 1, 8, 3]))
    with pytest.raises(ValueError, match="contiguous array of at least 9"):
        sampler.sample(np.zeros(8, np.float32), 0)
    with pytest.raises(ValueError, match="contiguous array of at least 9"):
        sampler.sample(np.zeros(18, np.float32)[::2], 0)
    whole = np.zeros(6, np.float32)
    WeightSampler(1, stream, "Normal", ones, ones).sample(whole, 0)
    assert (whole[4:] == 0.0).all()


@pytest.mark.parametrize("wrong", range(5))
def test_statistics_that_do_not_fit_are_refused(wrong: int) -> None:
    from bprune.engines.native.kernels_softmax import softmax_statistics

    arrays: list[AnyArray] = [
        np.zeros((4, 3), np.float32),
        np.zeros((4, 3), np.float32),
        np.zeros((4, 3)),
        np.zeros((4, 3)),
        np.zeros(4),
    ]
    softmax_statistics(*arrays)
    arrays[wrong] = np.ascontiguousarray(arrays[wrong][:3])
    with pytest.raises(ValueError, match="do not fit together"):
        softmax_statistics(*arrays)


def _sampling() -> Callable[[int], AnyArray]:
    loc, scale = parameters(40_000)
    sampler = WeightSampler(
        3, Stream("a", 0, 40_000), "Normal", loc, scale, np.random.default_rng(1).permutation(40_000)
    )

    def work(draw: int) -> AnyArray:
        out = np.empty(40_000, np.float32)
        sampler.sample(out, draw)
        return out

    return work


def test_two_threads_get_what_one_gets() -> None:
    work = _sampling()
    alone = [work(draw) for draw in range(60)]
    with ThreadPoolExecutor(2) as pool:
        together = list(pool.map(work, range(60)))
    np.testing.assert_array_equal(together, alone)
    assert not np.array_equal(alone[0], alone[1])


@pytest.mark.parametrize("name", ["sample_whole", "sample_chosen", "fill_units"])
def test_noise_is_vectorised(name: str) -> None:
    """The square roots of Box and Muller are packed ones, whatever the width; scalar ones would be 8 times slower."""
    from llvmlite import binding  # type: ignore[import-untyped]

    from bprune.engines.native import kernels, kernels_chain

    if not binding.get_host_cpu_features().get("avx2"):
        pytest.skip("LLVM finds scalar code cheaper on CPUs without packed multiplication of integers")
    numba: Any = importlib.import_module("numba")
    fresh = numba.njit(fastmath={"contract", "reassoc", "arcp", "nsz"}, error_model="numpy")(
        getattr(kernels_chain if name == "fill_units" else kernels, name).py_func
    )
    flat, word = numba.float32[::1], numba.uint32[::1]
    pair = numba.typeof((np.uint32(0), np.uint32(0)))
    law = (numba.int64, numba.float32, pair, pair)
    fresh.compile(
        {
            "sample_whole": (flat, flat, flat, *law),
            "sample_chosen": (flat, flat, flat, word, numba.int64[::1], numba.uint16[::1], word, *law),
            "fill_units": (flat, word, pair, pair),
        }[name]
    )
    (code,) = fresh.inspect_llvm().values()
    assert re.search(r"call <\d+ x float> @llvm.sqrt.v\d+f32", code)
    assert re.search(r"call <\d+ x float> @llvm.fmuladd.v\d+f32", code)
