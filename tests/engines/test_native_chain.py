"""Chains of dense layers in one kernel: against NumPy, in any company, and with arguments that do not fit."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import stats

from bprune.arrays import AnyArray, FloatArray
from bprune.engines.native import chain as chains
from bprune.engines.native.chain import Chain, Link, Opening, tiles_of
from bprune.engines.native.noise import DrawNoise
from bprune.lowering.ops import Dense
from bprune.lowering.weights import Weights
from tests.engines.native_chain_oracle import SEED, World, make_world

KINDS = ["moments", "fixed", "rows"]
DRAWS = [DrawNoise(5), DrawNoise(5, -1.0), DrawNoise(2**33 + 1)]
ALARM = 1e-6
"""Probability that the test of independent noise fails if it is right."""


def check(world: World, examples: AnyArray, draws: list[DrawNoise], *, softmax: bool = False) -> None:
    found = world.run(examples, draws, np.arange(len(examples)), softmax=softmax)
    expected = world.expected(examples, draws, is_softmax=softmax)
    largest = np.abs(expected).max(initial=1e-3)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=2e-5 * largest)


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("examples", [1, 63, 64, 65, 200])
def test_a_chain_against_numpy(kind: str, examples: int, sparse: bool) -> None:
    world = make_world(kind, [30, 17, 5], examples, 3, sparse=sparse, share=0.3 if sparse else 1.0, constants=2)
    for softmax in (False, True):
        check(world, np.arange(examples) + 13, DRAWS, softmax=softmax)


WIDTHS = [[1, 1], [7, 1, 2], [3, 200, 1], [200, 6, 7], [64, 65, 13, 3], [5, 4, 3, 2, 12]]


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("widths", WIDTHS)
def test_widths(widths: list[int], sparse: bool) -> None:
    """Numbers of outputs with all remainders of what is kept in registers; one logit is that of the second class."""
    for kind in KINDS:
        world = make_world(kind, widths, 70, 3, sparse=sparse, share=0.5 if sparse else 1.0)
        check(world, np.arange(70), DRAWS, softmax=True)
        check(world, np.arange(70), DRAWS)


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("family", ["Normal", "LogNormal", "Laplace", ""])
@pytest.mark.parametrize("bias", ["Normal", "Laplace", "", None])
def test_families_and_biases(family: str, bias: str | None, sparse: bool) -> None:
    world = make_world("moments", [20, 9, 4], 66, 3, sparse=sparse, family=family, bias=bias, share=0.4, relu=False)
    check(world, np.arange(66), DRAWS)


@pytest.mark.parametrize("inputs", [300, 1_500])
def test_a_sparse_layer_in_several_blocks_of_inputs(inputs: int) -> None:
    check(make_world("fixed", [inputs, 11, 3], 65, 3, sparse=True, share=0.1), np.arange(65), DRAWS)


@pytest.mark.parametrize("units", [1, 16, 200])
def test_an_opening_alone(units: int) -> None:
    world = make_world("moments", [units], 130, 3)
    check(world, np.arange(130) + 50, DRAWS)
    check(world, np.random.default_rng(1).permutation(5_000)[:130], DRAWS, softmax=True)


@pytest.mark.parametrize("group", [1, 2, 3, 16])
def test_draws_do_not_depend_on_their_groups(group: int, monkeypatch: pytest.MonkeyPatch) -> None:
    world, draws = make_world("moments", [9, 5, 3], 65, 7), [DrawNoise(i) for i in range(7)]
    whole = world.run(np.arange(65), draws, np.arange(65), softmax=False)
    monkeypatch.setattr(chains, "_MOST_GROUPED", group)
    np.testing.assert_array_equal(world.run(np.arange(65), draws, np.arange(65), softmax=False), whole)
    alone = [world.run(np.arange(65), [draw], np.arange(65), softmax=False)[0] for draw in draws]
    np.testing.assert_array_equal(alone, whole)
    assert all((whole[0] != item).all() for item in whole[1:])


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_an_example_is_the_same_in_any_company(kind: str, sparse: bool) -> None:
    """Bit for bit: some of the examples, not consecutive, in any order, from any number on, in any thread."""
    world = make_world(kind, [30, 17, 5], 200, 3, sparse=sparse, share=0.3 if sparse else 1.0)
    numbers, rng = np.arange(200) + 1_000, np.random.default_rng(2)
    for softmax in (False, True):
        whole = world.run(numbers, DRAWS, np.arange(200), softmax=softmax)
        parts = [np.arange(10, 110), np.array([199]), np.arange(0, 200, 7), rng.permutation(200), np.arange(64, 128)]
        for chosen in parts:
            found = world.run(numbers[chosen], DRAWS, chosen, softmax=softmax)
            np.testing.assert_array_equal(found, whole[:, chosen])
    with ThreadPoolExecutor(4) as pool:
        tasks = [pool.submit(world.run, numbers, DRAWS, np.arange(200), softmax=True) for _ in range(12)]
        for task in tasks:
            np.testing.assert_array_equal(task.result(), whole)


def opening_noise(examples: AnyArray, draws: int, units: int = 64) -> FloatArray:
    """The noise of an opening, `[draw, example, unit]`."""
    ones = np.ones((len(examples), units))
    out = np.empty((draws, len(examples), units), np.float32)
    opening = Chain(SEED, [], Opening("a", np.arange(units), relu=False))
    opening.run(out, 0, 0, examples, [DrawNoise(i) for i in range(draws)], mean=tiles_of(0 * ones), std=tiles_of(ones))
    return out


def uncorrelated(first: AnyArray, second: AnyArray) -> bool:
    one, two = (item.astype(np.float64).reshape(-1) for item in (first, second))
    bound = stats.norm.isf(ALARM / 4) / np.sqrt(one.size)
    return all(abs(np.corrcoef(one**k, two**k)[0, 1]) < bound for k in (1, 2))


def test_examples_64_apart_share_their_noise_and_others_do_not() -> None:
    """Numbers and squares, each at the rate ALARM / 2, for 4 comparisons."""
    noise = opening_noise(np.arange(192), 40)
    np.testing.assert_array_equal(noise[:, 64:128], noise[:, :64])
    np.testing.assert_array_equal(noise[:, 128:], noise[:, :64])
    one = noise[:, :64]
    for lag in (1, 16, 32):
        assert uncorrelated(one[:, lag:], one[:, :-lag])
    assert uncorrelated(one[1:], one[:-1])
    assert not uncorrelated(noise[:, 64:], noise[:, :-64])
    np.testing.assert_array_equal(opening_noise(np.array([2**32 - 1, 63, 5, 69]), 2)[:, ::2], noise[:2, [63, 5]])


def test_a_planted_bug_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Places that are off by one."""
    monkeypatch.setattr(chains, "_places", lambda examples: np.arange(64) + 1)
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        check(make_world("moments", [30, 17, 5], 60, 3), np.arange(60), DRAWS)


@pytest.mark.parametrize("softmax", [False, True])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("kind", KINDS)
def test_values_that_are_not_finite(kind: str, bad: float, softmax: bool) -> None:
    """The first draw with one is told; what only fills up a tile is not looked at."""
    world, draws = make_world(kind, [4, 3], 70, 5, relu=False), [DrawNoise(i) for i in range(5)]
    mean, std = (None if item is None else tiles_of(item) for item in (world.mean, world.std))
    rows, wrong = world.rows, 0
    if rows is not None:
        wrong = 3
        rows[wrong, 69, 2] = bad
    elif mean is not None:
        mean[1, 2, 6:] = bad  # place 5 is the last example
    out = np.zeros((5, 70, 3), np.float32)

    def run() -> int:
        return world.chain().run(out, 0, 0, np.arange(70), draws, mean=mean, std=std, rows=rows, softmax=softmax)

    assert run() == (wrong if rows is not None else -1)
    if mean is not None:
        mean[1, 2, 5] = bad
        assert run() == 0
    assert np.isfinite(out[:, :69]).all()
    assert not np.isfinite(out[wrong, 69]).all()


def test_results_go_to_their_place() -> None:
    world = make_world("fixed", [6, 3], 65, 2)
    out = np.full((5, 100, 3), 7.0, np.float32)
    assert world.mean is not None
    world.chain().run(out, 2, 11, np.arange(65), DRAWS[:2], mean=tiles_of(world.mean))
    place = out[2:4, 11:76].copy()
    np.testing.assert_array_equal(place, world.run(np.arange(65), DRAWS[:2], np.arange(65), softmax=False))
    out[2:4, 11:76] = 7.0
    assert (out == 7.0).all()


@pytest.mark.parametrize("sparse", [False, True])
def test_layers_with_nothing_in_them(sparse: bool) -> None:
    """No inputs but constants, no inputs at all, no live weights, zero inputs, no examples, no draws."""
    check(make_world("fixed", [0, 4, 2], 65, 3, sparse=sparse, constants=2), np.arange(65), DRAWS)
    check(make_world("rows", [0, 4, 2], 65, 3, sparse=sparse), np.arange(65), DRAWS)
    check(make_world("moments", [0, 4, 2], 65, 3, sparse=sparse), np.arange(65), DRAWS)
    check(make_world("moments", [9, 4, 2], 65, 3, sparse=sparse, share=0.0), np.arange(65), DRAWS, softmax=True)
    check(make_world("moments", [9, 0, 2], 65, 3, sparse=sparse), np.arange(65), DRAWS)
    world = make_world("fixed", [9, 4, 2], 65, 3, sparse=sparse)
    assert world.mean is not None
    world.mean[...] = 0.0
    check(world, np.arange(65), DRAWS)
    assert world.run(np.arange(0), DRAWS, np.arange(0), softmax=True).shape == (3, 0, 2)
    assert world.run(np.arange(65), [], np.arange(65), softmax=True).shape == (0, 65, 2)


def arguments() -> tuple[Chain, dict[str, Any]]:
    """A chain from moments, 4 units and 3 outputs, and what it is run with."""
    world = make_world("moments", [4, 3], 70, 2)
    assert world.mean is not None
    assert world.std is not None
    out = np.zeros((2, 80, 3), np.float32)
    given = {"out": out, "begin": 0, "start": 10, "examples": np.arange(70), "draws": DRAWS[:2]}
    return world.chain(), {**given, "mean": tiles_of(world.mean), "std": tiles_of(world.std)}


def read_only(values: FloatArray) -> FloatArray:
    values.flags.writeable = False
    return values


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"start": 11}, "have no place in an array"),
    ({"start": -1}, "have no place in an array"),
    ({"begin": 1}, "have no place in an array"),
    ({"begin": -1}, "have no place in an array"),
    ({"out": np.zeros((2, 80, 4), np.float32)}, "have no place in an array"),
    ({"out": np.zeros((2, 240), np.float32)}, "have no place in an array"),
    ({"out": np.zeros((2, 80, 3))}, "contiguous array of float32"),
    ({"out": np.zeros((2, 160, 3), np.float32)[:, ::2]}, "contiguous array of float32"),
    ({"out": read_only(np.zeros((2, 80, 3), np.float32))}, "contiguous array of float32"),
    ({"std": None}, "if and only if it begins with moments"),
    ({"mean": None}, "if and only if it begins with moments"),
    ({"rows": np.zeros((2, 70, 4), np.float32)}, "if and only if it begins with moments"),
    ({"mean": np.zeros((2, 5, 64), np.float32)}, "takes 4 features does not take 5"),
    ({"mean": np.zeros((1, 4, 64), np.float32)}, "are not those of 2 draws of 70 examples"),
    ({"std": np.zeros((2, 3, 64), np.float32)}, "are not those of 2 draws of 70 examples"),
    ({"std": np.zeros((1, 4, 64), np.float32)}, "are not those of 2 draws of 70 examples"),
    ({"mean": np.zeros((2, 4, 63), np.float32)}, "are not those of 2 draws of 70 examples"),
]


@pytest.mark.parametrize(("change", "message"), WRONG)
def test_arguments_that_do_not_fit_are_refused(change: dict[str, Any], message: str) -> None:
    """The kernel would read or write beyond the arrays."""
    chain, given = arguments()
    assert chain.run(**given) == -1
    with pytest.raises(ValueError, match=message):
        chain.run(**{**given, **change})


def test_rows_that_do_not_fit_are_refused() -> None:
    chain, out = make_world("rows", [4, 3], 70, 2).chain(), np.zeros((2, 70, 3), np.float32)
    for shape in ((2, 69, 4), (1, 70, 4), (2, 71, 4)):
        with pytest.raises(ValueError, match="are not those of 2 draws of 70 examples"):
            chain.run(out, 0, 0, np.arange(70), DRAWS[:2], rows=np.zeros(shape, np.float32))
    nothing = np.zeros((2, 4, 64), np.float32)
    with pytest.raises(ValueError, match="if and only if it begins with moments"):
        chain.run(out, 0, 0, np.arange(70), DRAWS[:2], mean=nothing, std=nothing)


def test_layers_that_do_not_fit_are_refused() -> None:
    (first, second) = make_world("fixed", [4, 3, 2], 1, 1).links
    with pytest.raises(ValueError, match="at least one layer"):
        Chain(SEED, [])
    with pytest.raises(ValueError, match="'d0' takes 4 features and gives 3, not what is around it"):
        Chain(SEED, [second, first])
    with pytest.raises(ValueError, match="'d0' takes 4 features"):
        Chain(SEED, [first], Opening("a", np.arange(3), relu=True))
    narrow = replace(first.op, bias=Weights(np.zeros(2, np.float32)))
    with pytest.raises(ValueError, match="'d0' takes 4 features"):
        Chain(SEED, [Link(narrow, relu=False)])
    empty = Dense("e", ("x",), Weights(np.zeros((3, 0), np.float32)), None, None, "e")
    chain = Chain(SEED, [Link(empty, relu=False)])
    with pytest.raises(ValueError, match="no class probabilities of a chain without outputs"):
        out, mean = np.zeros((1, 1, 0), np.float32), np.zeros((1, 3, 64), np.float32)
        chain.run(out, 0, 0, np.arange(1), DRAWS[:1], mean=mean, softmax=True)


@pytest.mark.skipif(os.environ.get("NUMBA_CPU_NAME") is not None, reason="this is the process that it starts")
def test_cpus_with_smaller_registers() -> None:
    """Compiled for AVX2, where fewer sums are kept in registers."""
    from llvmlite import binding  # type: ignore[import-untyped]

    if not binding.get_host_cpu_features().get("avx512f"):
        pytest.skip("the other tests ran without AVX-512")
    code = (
        "import sys, pytest; from bprune.engines.native import kernels_dense as d, kernels_sparse as s; "
        "assert (d.ROWS, d.COLUMNS, s.LONGEST_RUN) == (3, 2, 6); "
        "sys.exit(pytest.main(['-q', '-n0', '-p', 'no:cacheprovider', sys.argv[1], '-k', sys.argv[2]]))"
    )
    environment = {**os.environ, "NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": "+avx,+avx2,+fma,+bmi,+bmi2"}
    process = subprocess.run(
        [sys.executable, "-c", code, __file__, "widths3 or widths4"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stdout + process.stderr
