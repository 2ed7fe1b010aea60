"""The engine `native`: its draws against the NumPy oracle, its law, and that nothing depends on how work is divided."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bprune.arrays import AnyArray, FloatArray
from bprune.case.output import Output
from bprune.engines.base import Sampling
from bprune.engines.native import NativeEngine
from bprune.engines.native.dense import ChainStep
from bprune.engines.native.layers import MomentsLayer
from bprune.engines.native.noise import standard_noise
from bprune.engines.tensorflow import TensorFlowEngine
from bprune.errors import SelfCheckError
from bprune.lowering.lower import specialise
from bprune.lowering.ops import Activation, Dense, Function
from bprune.lowering.program import Program
from bprune.lowering.shapes import Shape
from bprune.lowering.weights import Stream, Weights
from tests.laws import law_distance, same_law
from tests.lowering.law_worlds import World, columns, each, open_world
from tests.lowering.reference import run_program

SEED = 3
WORLDS = ("digits_fc", "digits_conv", "regression_1d", "mixed", "variational", "dgp")


def native_noise(seed: int, draw: int, families: dict[str, str]) -> Callable[[Stream], AnyArray]:
    """The engine's noise of whole streams, as the oracle takes it."""
    return lambda stream: standard_noise(seed, stream, families[stream.key], np.arange(stream.size), draw)


def families_of(program: Program) -> dict[str, str]:
    parts = [getattr(op, field, None) for op in program.ops for field in ("kernel", "bias")]
    return {item.stream.key: item.family for item in parts if isinstance(item, Weights) and item.stream is not None}


def raw_outputs(world: World, values: AnyArray) -> AnyArray:
    """What the oracle gives, as the engine's first output: probabilities where it holds logits."""
    if world.case.roles.kind is not Output.LOGITS:
        return values
    shifted = np.exp(values - values.max(-1, keepdims=True))
    return np.asarray(shifted / shifted.sum(-1, keepdims=True))


def native(world: World, program: Program, sampling: Sampling, seed: int = SEED) -> NativeEngine:
    return NativeEngine(program, world.case.roles.kind, seed, sampling)


@pytest.mark.parametrize("sparsity", [0.0, 0.6])
@pytest.mark.parametrize("name", each(*WORLDS))
def test_draws_are_those_of_the_oracle(name: str, sparsity: float, request: pytest.FixtureRequest) -> None:
    world = open_world(name, request)
    program = world.pruned(world.masks(sparsity), compact=False)
    draws = native(world, program, Sampling.WEIGHTS).draw(world.inputs, range(5, 8)).values
    for index, number in enumerate(range(5, 8)):
        noise = native_noise(SEED, number, families_of(program))
        expected = raw_outputs(world, run_program(program, world.inputs, noise)[0])
        np.testing.assert_allclose(draws[index], expected, rtol=2e-4, atol=2e-5 * np.abs(expected).max())


@pytest.mark.parametrize("sampling", [Sampling.WEIGHTS, Sampling.PER_EXAMPLE])
@pytest.mark.parametrize("name", each(*WORLDS))
def test_compacted_equals_masked(name: str, sampling: Sampling, request: pytest.FixtureRequest) -> None:
    world = open_world(name, request)
    masks = world.masks(0.4)
    values = [
        columns(native(world, world.pruned(masks, compact=compact), sampling).draw(world.inputs, range(4)))
        for compact in (True, False)
    ]
    assert np.ptp(values[0], axis=0).max() > 1e-4
    np.testing.assert_allclose(values[0], values[1], rtol=1e-3, atol=1e-4 * np.abs(values[1]).max())


@pytest.mark.parametrize("sampling", [Sampling.WEIGHTS, Sampling.PER_EXAMPLE])
@pytest.mark.parametrize("name", each("digits_fc", "digits_conv", "dgp"))
def test_draws_do_not_depend_on_the_division(name: str, sampling: Sampling, request: pytest.FixtureRequest) -> None:
    """Bit for bit; an example's noise belongs to its number, wherever it stands in a call."""
    world = open_world(name, request)
    inputs = np.concatenate([world.inputs * np.float32(factor) for factor in np.linspace(0.5, 1.0, 9)])[:32]
    program = world.pruned(world.masks(0.5))
    engine = native(world, program, sampling)
    engine.prepare(len(inputs))
    engine.block = 8
    whole = engine.draw(inputs, range(6)).values
    parts = [engine.draw(inputs[start : start + 8], range(6), start).values for start in range(0, 32, 8)]
    np.testing.assert_array_equal(np.concatenate(parts, axis=1), whole)
    chunks = [engine.draw(inputs, chunk).values for chunk in (range(4, 6), range(4))]
    np.testing.assert_array_equal(np.concatenate(chunks[::-1]), whole)
    one = NativeEngine(program, world.case.roles.kind, SEED, sampling, threads=1)
    one.block = 8
    np.testing.assert_array_equal(one.draw(inputs, range(6)).values, whole)
    engine.block = 32
    np.testing.assert_allclose(engine.draw(inputs, range(6)).values, whole, rtol=1e-3, atol=1e-5)


def wide_program(family: str = "Normal", bias: str = "Normal", constant: int = 0) -> Program:
    """A layer with 60 inputs, some of them constant, and a layer on top."""
    generator = np.random.default_rng(1)

    def weights(name: str, kind: str, *shape: int) -> Weights:
        loc = generator.normal(0.1, 0.4, shape).astype(np.float32)
        scale = generator.uniform(0.1, 0.5, shape).astype(np.float32)
        ids = np.arange(loc.size, dtype=np.int32).reshape(shape)
        return Weights(loc, scale, kind, Stream(name, 0, loc.size, shape[-1]), ids) if kind else Weights(loc)

    values = generator.normal(0.0, 2.0, constant).astype(np.float32) if constant else None
    first = Dense("a", ("x",), weights("a", family, 60, 7), weights("ab", bias, 7), values, "a")
    relu = Activation("r", ("a",), Function.RELU)
    last = Dense("b", ("r",), weights("b", "Normal", 7, 3), None, None, "b")
    return Program("x", Shape((60 - constant,)), (first, relu, last), ("b",))


INPUTS = np.random.default_rng(2).normal(0.3, 1.0, (3, 60)).astype(np.float32)


def sample(program: Program, sampling: Sampling, seed: int, draws: int = 4000) -> FloatArray:
    inputs = INPUTS[:, : program.input_shape[0]]
    values = NativeEngine(program, Output.PREDICTION, seed, sampling).draw(inputs, range(draws)).values
    pairs = values[..., :1] * values[..., 1:]
    return np.concatenate([values, pairs], axis=-1)


@pytest.mark.parametrize("constant", [0, 4])
@pytest.mark.parametrize("bias", ["", "Normal"])
def test_cached_moments_have_the_law_of_drawn_weights(bias: str, constant: int) -> None:
    """Means, variances and products of two outputs of each example; false-alarm rate 1e-6 per comparison."""
    program = wide_program(bias=bias, constant=constant)
    engine = NativeEngine(program, Output.PREDICTION, 0)
    assert engine.sampling is Sampling.PER_EXAMPLE
    (step,) = engine.steps
    assert isinstance(step, ChainStep)
    assert step.is_cached
    assert same_law(sample(program, Sampling.PER_EXAMPLE, 1), sample(program, Sampling.WEIGHTS, 2))


def test_a_variance_in_place_of_a_deviation_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    right = MomentsLayer.moments

    def wrong(self: MomentsLayer, inputs: AnyArray) -> Any:
        moments = right(self, inputs)
        return type(moments)(moments.mean, np.square(moments.std))

    expected = sample(wide_program(), Sampling.WEIGHTS, 2)
    monkeypatch.setattr(MomentsLayer, "moments", wrong)
    assert law_distance(sample(wide_program(), Sampling.PER_EXAMPLE, 1), expected) > 10.0


def test_examples_of_a_draw_are_independent_with_cached_moments() -> None:
    """Two copies of an example: equal with shared weights; the layer's own noise is independent otherwise."""
    program = Program("x", Shape((60,)), wide_program().ops[:1], ("a",))
    copies = np.repeat(INPUTS[:1], 2, axis=0)

    def correlation(sampling: Sampling) -> float:
        values = NativeEngine(program, Output.PREDICTION, 4, sampling).draw(copies, range(4000)).values
        return float(np.corrcoef(values[:, 0, 0], values[:, 1, 0])[0, 1])

    assert correlation(Sampling.WEIGHTS) == pytest.approx(1.0, abs=1e-4)
    assert abs(correlation(Sampling.PER_EXAMPLE)) < 0.1  # 6 standard errors


@pytest.mark.parametrize(("family", "bias"), [("Laplace", "Normal"), ("LogNormal", ""), ("Normal", "Laplace")])
def test_other_families_are_drawn(family: str, bias: str) -> None:
    engine = NativeEngine(wide_program(family, bias), Output.PREDICTION, 0)
    assert engine.sampling is Sampling.WEIGHTS
    assert not any(isinstance(step, ChainStep) and step.is_cached for step in engine.steps)


def test_the_engines_have_one_law(request: pytest.FixtureRequest) -> None:
    world = open_world("digits_fc", request)
    program = world.pruned(world.masks(0.5))
    ours = native(world, program, Sampling.PER_EXAMPLE).draw(world.inputs, range(3000))
    theirs = TensorFlowEngine(program, world.case.roles.kind, 8).draw(world.inputs, range(3000))
    assert same_law(columns(ours), columns(theirs))


def test_noise_belongs_to_the_weight_at_every_threshold(request: pytest.FixtureRequest) -> None:
    """Draws of a network and of one with a few weights less are close: common random numbers."""
    world = open_world("digits_fc", request)
    engines = [native(world, world.pruned(world.masks(share)), Sampling.PER_EXAMPLE) for share in (0.1, 0.12)]
    first, second = (engine.draw(world.inputs, range(50)).values for engine in engines)
    other = native(world, world.pruned(world.masks(0.1)), Sampling.PER_EXAMPLE, seed=9)
    independent = np.abs(first - other.draw(world.inputs, range(50)).values).mean()
    assert np.abs(first - second).mean() < 0.3 * independent


def test_values_that_are_not_finite() -> None:
    program = specialise(wide_program(), {})
    with pytest.raises(SelfCheckError, match="draw 3 gives values that are not finite"):
        NativeEngine(program, Output.PREDICTION, 0).draw(INPUTS * np.float32(1e38), range(3, 4))


def test_the_package_needs_no_compiler_until_it_draws(tmp_path: Path) -> None:
    code = "import sys, bprune.engines.choose, bprune.engines.native; sys.exit('numba' in sys.modules)"
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    assert subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, check=False).returncode == 0


def test_a_signal_leaves_the_draws_that_have_not_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the process would end only when all of them are made, which may take minutes."""
    engine = NativeEngine(specialise(wide_program(), {}), Output.PREDICTION, SEED, threads=1)
    begun: list[int] = []

    def task(start: int, *rest: Any) -> None:
        begun.append(start)
        time.sleep(0.02)

    def interrupted(tasks: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(engine, "_task", task)
    monkeypatch.setattr(engine, "_draws_at_once", lambda draws, blocks: 1)
    engine.draw(INPUTS, range(50))
    assert len(begun) == 50
    monkeypatch.setattr("bprune.engines.native.engine.wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        engine.draw(INPUTS, range(50))
    engine._pool.shutdown()
    assert len(begun) < 75
