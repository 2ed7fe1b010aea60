"""Antithetic pairs: opposite noise exactly, the law of each draw unchanged, and honest standard errors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from bprune import infer
from bprune.arrays import AnyArray
from bprune.case.output import Output
from bprune.engines.base import Draws, Sampling
from bprune.engines.choose import prepare_engine
from bprune.engines.native import NativeEngine
from bprune.engines.native.chain import Chain, Opening, tiles_of
from bprune.engines.native.layers import unit_ids
from bprune.engines.native.noise import DrawNoise, standard_noise
from bprune.engines.native.weights import ValueDraw, WeightDraw
from bprune.errors import UsageError
from bprune.inference.antithetic import pair_draws
from bprune.inference.statistics import RegressionMoments
from bprune.lowering.ops import Dense
from bprune.lowering.program import Program
from bprune.lowering.shapes import Shape
from bprune.lowering.weights import Stream, Weights
from tests.laws import same_law
from tests.lowering.law_worlds import each, open_world
from tests.lowering.reference import run_program

SEED = 5
FALSE_ALARM = 1e-6


def families_of(program: Program) -> dict[str, str]:
    parts = [getattr(op, field, None) for op in program.ops for field in ("kernel", "bias")]
    return {item.stream.key: item.family for item in parts if isinstance(item, Weights) and item.stream is not None}


def paired(program: Program, kind: Output, sampling: Sampling, seed: int = SEED) -> NativeEngine:
    engine = NativeEngine(program, kind, seed, sampling)
    engine.antithetic = True
    return engine


def network(layers: int = 2) -> Program:
    """5 inputs, 4 hidden units without an activation if there are two layers, 3 outputs."""
    generator = np.random.default_rng(1)

    def weights(name: str, *shape: int) -> Weights:
        loc = generator.normal(0.4, 0.4, shape).astype(np.float32)
        ids = np.arange(loc.size, dtype=np.int32).reshape(shape)
        return Weights(loc, np.full(shape, 0.05, np.float32), "Normal", Stream(name, 0, loc.size, shape[-1]), ids)

    ops = [Dense("a", ("x",), weights("a", 5, 4), weights("ab", 4), None, "a")]
    if layers == 2:
        ops.append(Dense("b", ("a",), weights("b", 4, 3), None, None, "b"))
    return Program("x", Shape((5,)), tuple(ops), (ops[-1].name,))


INPUTS = np.random.default_rng(2).normal(0.3, 1.0, (6, 5)).astype(np.float32)


def test_which_noise_a_draw_takes() -> None:
    assert [DrawNoise.of(draw, antithetic=True) for draw in (0, 1, 6, 7)] == [(0, 1.0), (0, -1.0), (6, 1.0), (6, -1.0)]
    assert [DrawNoise.of(draw, antithetic=False) for draw in (0, 1, 7)] == [(0, 1.0), (1, 1.0), (7, 1.0)]


@pytest.mark.parametrize("name", each("digits_fc", "digits_conv", "mixed", "variational"))
def test_an_odd_draw_has_the_noise_of_the_one_before_with_the_other_sign(
    name: str, request: pytest.FixtureRequest
) -> None:
    """Against the oracle, which is given the noise: all families, dense and sparse products, convolutions."""
    world = open_world(name, request)
    program = world.pruned(world.masks(0.6), compact=False)
    families = families_of(program)
    engine = paired(program, world.case.roles.kind, Sampling.WEIGHTS)
    draws = engine.draw(world.inputs, range(6, 10)).values
    for index, (number, sign) in enumerate([(6, 1.0), (6, -1.0), (8, 1.0), (8, -1.0)]):

        def noise(stream: Stream, number: int = number, sign: float = sign) -> AnyArray:
            values = standard_noise(SEED, stream, families[stream.key], np.arange(stream.size), number)
            return np.asarray(np.float32(sign) * values)

        expected = run_program(program, world.inputs, noise)[0]
        if world.case.roles.kind is Output.LOGITS:
            shifted = np.exp(expected - expected.max(-1, keepdims=True))
            expected = shifted / shifted.sum(-1, keepdims=True)
        np.testing.assert_allclose(draws[index], expected, rtol=2e-4, atol=2e-5 * np.abs(expected).max())
    assert np.abs(draws[0] - draws[1]).max() > 1e-4


@pytest.mark.parametrize("family", ["Normal", "LogNormal", "Laplace"])
def test_weights_of_a_pair_are_opposite_bit_for_bit(family: str) -> None:
    """Locations are 0, so that nothing is rounded: w and -w, or for the LogNormal w and 1 / w."""
    ids = np.arange(70, dtype=np.int32)
    scale = np.linspace(0.1, 0.5, 70, dtype=np.float32)
    weights = Weights(np.zeros(70, np.float32), scale, family, Stream("k", 0, 70, 1), ids)
    for source in (WeightDraw(SEED, weights), ValueDraw(SEED, weights, np.arange(70)[::-1])):
        first, second = (source.draw(DrawNoise.of(draw, antithetic=True)).copy() for draw in (2, 3))
        if family == "LogNormal":
            np.testing.assert_allclose(first * second, 1.0, rtol=1e-5)
        else:
            np.testing.assert_array_equal(first, -second)
        assert np.abs(np.log(first) if family == "LogNormal" else first).max() > 0.1


def test_units_of_a_pair_are_opposite_bit_for_bit() -> None:
    chain = Chain(SEED, [], Opening("a", np.arange(40), relu=False))
    found, ones = np.empty((2, 3, 40), np.float32), np.ones((3, 40))
    draws = [DrawNoise.of(draw, antithetic=True) for draw in (4, 5)]
    chain.run(found, 0, 0, np.arange(3), draws, mean=tiles_of(0.0 * ones), std=tiles_of(ones))
    np.testing.assert_array_equal(found[0], -found[1])
    assert np.abs(found[0]).max() > 1.0


@pytest.mark.parametrize("sampling", [Sampling.WEIGHTS, Sampling.PER_EXAMPLE])
def test_even_draws_are_those_without_pairs_and_pairs_may_be_cut(sampling: Sampling) -> None:
    engine = paired(network(), Output.PREDICTION, sampling)
    whole = engine.draw(INPUTS, range(8)).values
    plain = NativeEngine(network(), Output.PREDICTION, SEED, sampling).draw(INPUTS, range(8)).values
    np.testing.assert_array_equal(whole[::2], plain[::2])
    assert (whole[1::2] != plain[1::2]).any()
    cut = [engine.draw(INPUTS, part).values for part in (range(5), range(5, 8))]
    np.testing.assert_array_equal(np.concatenate(cut), whole)


@pytest.mark.parametrize("sampling", [Sampling.WEIGHTS, Sampling.PER_EXAMPLE])
def test_each_draw_has_its_law(sampling: Sampling) -> None:
    pairs = paired(network(), Output.PREDICTION, sampling).draw(INPUTS, range(8000)).values
    other = NativeEngine(network(), Output.PREDICTION, SEED + 1, sampling).draw(INPUTS, range(8000)).values
    assert same_law(pairs[1::2], other[1::2])
    assert not same_law(pairs[1::2] * np.float32(1.2), other[1::2]), "the planted bug is not seen"


def test_one_layer_has_pairs_that_cancel() -> None:
    program = network(1)
    first = program.ops[0]
    assert isinstance(first, Dense)
    assert unit_ids(first.kernel) is not None
    draws = paired(program, Output.PREDICTION, Sampling.PER_EXAMPLE).draw(INPUTS, range(10)).values
    centre = draws[::2] + draws[1::2]
    np.testing.assert_allclose(centre, np.broadcast_to(centre[0], centre.shape), rtol=1e-5, atol=1e-6)
    assert np.ptp(draws[::2], axis=0).min() > 1e-3


def coverage(values: AnyArray, *, as_pairs: bool) -> int:
    """In how many runs `[run, draw]` the 95 % interval of the mean holds the mean of all runs."""
    runs, draws = values.shape
    columns = np.ascontiguousarray(values.T[:, :, None])
    summary = RegressionMoments.start(runs, 1, paired=as_pairs).update(Draws(columns)).summary()
    freedom = draws // 2 - 1 if as_pairs else draws - 1
    distance = np.abs(summary.mean[:, 0].astype(np.float64) - values.mean(dtype=np.float64))
    return int(np.sum(distance <= stats.t.isf(0.025, freedom) * summary.mc_stderr[:, 0]))


def test_standard_errors_are_those_of_pairs() -> None:
    """95 % of the intervals of 1,500 runs of 60 draws hold the mean; two-sided, false alarm 1e-6.

    Two layers without an activation, so that outputs are sums of products: their pairs are negatively correlated. The
    square of a centred output goes the other way: its pairs are nearly equal. Who takes draws for independent finds
    standard errors too large in the first case and too small in the second.
    """
    runs, draws = 1500, 60
    values = paired(network(), Output.PREDICTION, Sampling.WEIGHTS).draw(INPUTS[:1], range(runs * draws)).values
    outputs = values[:, 0, 0].reshape(runs, draws).astype(np.float64)
    centred = outputs - outputs.mean()
    lowest, highest = stats.binom.ppf([FALSE_ALARM / 2, 1 - FALSE_ALARM / 2], runs, 0.95)
    bent = np.tanh(np.abs(centred) / centred.std())
    for numbers in (outputs, bent):
        numbers = numbers.astype(np.float32)
        assert lowest <= coverage(numbers, as_pairs=True) <= highest
        assert not lowest <= coverage(numbers, as_pairs=False) <= highest, "the planted bug is not seen"


def test_pairs_make_means_more_precise(samples: Path, tmp_path: Path) -> None:
    found = []
    for antithetic in (False, True):
        path = tmp_path / f"{antithetic}.h5"
        with infer(samples / "digits_conv", out=path, mc_iters=100, engine="native", antithetic=antithetic) as results:
            assert results.run.antithetic is antithetic
            assert ("antithetic pairs" in results.describe()) == antithetic
            assert ("antithetic pairs" in results.run.plan) == antithetic
            found.append(results.summary)
    one, two = found
    assert np.abs(one.mean - two.mean).max() < 6.5 * np.hypot(one.mc_stderr, two.mc_stderr).max()
    assert np.square(two.mc_stderr).sum() < 0.1 * np.square(one.mc_stderr).sum()


@pytest.mark.parametrize("engine", ["graph", "tensorflow"])
def test_other_engines_say_that_they_cannot(samples: Path, tmp_path: Path, engine: str) -> None:
    with pytest.raises(UsageError, match=f"the engine {engine} does not draw antithetic pairs"):
        infer(samples / "digits_fc", out=tmp_path / "r.h5", engine=engine, antithetic=True)
    assert list(tmp_path.iterdir()) == []


def test_an_automatic_choice_without_pairs_is_refused(request: pytest.FixtureRequest) -> None:
    world = open_world("digits_fc", request)
    prepared = prepare_engine(world.case, world.network, world.network.masks, name="graph")
    with pytest.raises(UsageError, match="by the engine native alone, and this run uses graph: --engine graph was"):
        pair_draws(prepared)


def test_an_odd_number_of_draws_is_refused(samples: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="401 draws cannot be paired"):
        infer(samples / "digits_fc", out=tmp_path / "r.h5", mc_iters=401, antithetic=True)
    with pytest.raises(UsageError, match="3 draws do not make antithetic pairs"):
        RegressionMoments.start(1, 1, paired=True).update(Draws(np.zeros((3, 1, 1), np.float32)))
