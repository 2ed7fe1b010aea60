"""Verification finds planted bugs, and finds nothing in programs as they were lowered.

Every comparison of laws has the false-alarm rate 1e-6.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bprune.arrays import AnyArray
from bprune.case import Case, load_case
from bprune.engines.base import Draws, Sampling
from bprune.engines.choose import EngineName
from bprune.engines.graph import GraphEngine
from bprune.engines.tensorflow import Precision, noise
from bprune.errors import UsageError
from bprune.inference import fit_inputs, read_data
from bprune.inference.agreement import Kind
from bprune.inference.verify import Verification, verify, verify_program
from bprune.lowering.lower import lower
from bprune.lowering.ops import Conv, Dense, Op
from bprune.lowering.program import Program, weights_of, with_weights
from bprune.lowering.weights import Weights
from bprune.posterior import Network, read_network
from bprune.pruning import Rule, plan_pruning

Change = Callable[[Program], Program]


class _Recorded:
    """A graph engine whose draws are made once."""

    name = "graph"
    sampling = Sampling.AS_TRAINED
    block = 1
    most_draws = 20

    def __init__(self, engine: GraphEngine) -> None:
        self._engine = engine
        self._known: dict[tuple[bytes, range], Draws] = {}
        self.output_size = engine.output_size

    def prepare(self, examples: int) -> None:
        self._engine.prepare(examples)

    def example_bytes(self) -> int:
        return self._engine.example_bytes()

    def draw(self, inputs: AnyArray, draws: range, first: int = 0) -> Draws:
        key = (inputs.tobytes(), draws)
        if key not in self._known:
            self._known[key] = self._engine.draw(inputs, draws)
        return self._known[key]


@dataclass(frozen=True)
class World:
    """A case with its oracle, and how many draws show its bugs."""

    case: Case
    network: Network
    oracle: _Recorded
    inputs: AnyArray
    program: Program
    mc_iters: int

    def verify(self, change: Change = lambda program: program, mc_iters: int | None = None) -> Verification:
        """The verdict about a changed program."""
        return verify_program(
            self.case,
            self.network,
            self.network.masks,
            change(self.program),
            self.oracle,
            self.inputs,
            mc_iters=self.mc_iters if mc_iters is None else mc_iters,
        )


def _world(path: Path, mc_iters: int, examples: int = 32) -> World:
    case = load_case(path)
    network = read_network(case)
    assert case.files.heldout is not None
    assert case.graph.input_shape is not None
    raw = read_data(case.files.heldout)
    inputs = fit_inputs(raw, shape=case.graph.input_shape, dtype=case.graph.input_dtype, scale=None).inputs[:examples]
    oracle = _Recorded(GraphEngine(case, network, network.masks, 0))
    return World(case, network, oracle, inputs, lower(case, network), mc_iters)


@pytest.fixture(scope="module")
def mixed(mixed_case: Path) -> World:
    return _world(mixed_case, 2000)


@pytest.fixture(scope="module")
def dense(samples: Path) -> World:
    return _world(samples / "digits_fc", 600)


@pytest.fixture(scope="module")
def conv(samples: Path) -> World:
    return _world(samples / "digits_conv", 300)


@pytest.fixture(scope="module")
def regression(samples: Path) -> World:
    return _world(samples / "regression_1d", 1000)


@pytest.fixture(scope="module")
def twins(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Two Bayesian layers of one shape side by side, whose outputs are added."""
    import tensorflow_probability as tfp
    import tf_keras

    from bprune.training import write_case
    from tests.networks import INPUTS, posterior_fn

    source = tf_keras.Input((6,))
    branches = [
        tfp.layers.DenseFlipout(3, name=name, kernel_posterior_fn=posterior_fn("Normal"))(source)
        for name in ("left", "right")
    ]
    model = tf_keras.Model(source, tf_keras.layers.Add()(branches))
    folder = tmp_path_factory.mktemp("twins") / "twins"
    write_case(folder, model, iteration=1, task="classification", heldout=(INPUTS, np.array([0, 1, 2, 0])))
    return _world(folder, 2000)


def _layer(name: str, change: Callable[[Op], Op]) -> Change:
    """Change the operations of one layer."""

    def changed(program: Program) -> Program:
        assert any(getattr(op, "layer", None) == name for op in program.ops)
        return program.replaced([change(op) if getattr(op, "layer", None) == name else op for op in program.ops])

    return changed


def _kernel(name: str, change: Callable[[Weights], Weights]) -> Change:
    """Change the kernel of one layer."""
    return _layer(name, lambda op: with_weights(op, {"kernel": change(weights_of(op)["kernel"])}))


def _scales(change: Callable[[AnyArray], AnyArray]) -> Change:
    """Change all scales."""

    def of_weights(item: Weights) -> Weights:
        return item if item.scale is None else replace(item, scale=change(item.scale).astype(np.float32))

    def changed(program: Program) -> Program:
        return program.replaced(
            [
                with_weights(op, {field: of_weights(item) for field, item in weights_of(op).items()})
                for op in program.ops
            ]
        )

    return changed


def _without_bias(op: Op) -> Op:
    assert isinstance(op, (Conv, Dense))
    assert op.bias is not None
    return replace(op, bias=None)


def _shifted_pads(op: Op) -> Op:
    assert isinstance(op, Conv)
    return replace(op, pads=tuple((0, before + after) for before, after in op.pads))


def _other_stride(op: Op) -> Op:
    """Every second position of a picture that is twice as large: the same shape."""
    assert isinstance(op, Conv)
    size = op.kernel.shape[0]
    pads = tuple((before + 4, after + 3 + size % 2) for before, after in op.pads)
    return replace(op, strides=(2, 2), pads=pads)


def _rolled(item: Weights) -> Weights:
    return item.take((Ellipsis, np.roll(np.arange(item.shape[-1]), 1)))


NETWORKS = ["mixed", "dense", "conv", "regression", "twins"]


@pytest.mark.parametrize("name", NETWORKS)
def test_a_program_as_it_was_lowered_passes(name: str, request: pytest.FixtureRequest) -> None:
    result = request.getfixturevalue(name).verify()
    assert result.failures == ()
    assert result.holds
    assert result.zero_scale.error is not None


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("mixed", _kernel("flip", lambda item: replace(item, loc=-item.loc))),
        ("dense", _kernel("den_2", lambda item: replace(item, loc=-item.loc))),
        ("conv", _kernel("conv_1", lambda item: replace(item, loc=-item.loc))),
        ("mixed", _layer("lognormal", _without_bias)),
        ("conv", _layer("conv_1", _without_bias)),
        ("conv", _layer("conv_1", _shifted_pads)),
        ("conv", _layer("conv_1", _other_stride)),
        ("mixed", _kernel("local", _rolled)),
        ("dense", _kernel("den_1", _rolled)),
        ("conv", _kernel("conv_2", _rolled)),
    ],
)
def test_another_function_fails_law_4_and_law_5(name: str, change: Change, request: pytest.FixtureRequest) -> None:
    result = request.getfixturevalue(name).verify(change)
    assert not result.holds
    assert not result.zero_scale.within
    assert not result.laws.agrees
    assert result.failures[0].startswith("law 4 (no noise, same output) fails: ")
    assert result.failures[1].startswith("law 5 (same law per example) fails: ")


def test_a_bias_that_noise_hides_fails_law_4(dense: World) -> None:
    result = dense.verify(_layer("den_3", _without_bias))
    assert not result.zero_scale.within
    assert len(result.failures) == 1


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("mixed", _scales(np.square)),
        ("dense", _scales(np.square)),
        ("conv", _scales(np.square)),
        ("regression", _scales(np.square)),
        ("mixed", _scales(lambda scale: 0.8 * scale)),
        ("dense", _scales(lambda scale: 0.8 * scale)),
        ("regression", _scales(lambda scale: 0.8 * scale)),
        ("mixed", _scales(lambda scale: np.zeros_like(scale))),
        ("mixed", _kernel("local", lambda item: replace(item, family="Laplace"))),
        ("regression", _kernel("den_3", lambda item: replace(item, scale=_rolled(item).scale))),
    ],
)
def test_other_noise_fails_law_5_alone(name: str, change: Change, request: pytest.FixtureRequest) -> None:
    result = request.getfixturevalue(name).verify(change)
    assert result.zero_scale.within
    assert not result.laws.agrees
    assert len(result.failures) == 1
    assert result.failures[0].startswith("law 5 (same law per example) fails: ")


def test_a_smaller_effect_takes_more_draws(conv: World) -> None:
    """Scales 20 % too small: 300 draws promise to find 40 % or so, 1,500 find it."""
    few, many = (conv.verify(_scales(lambda scale: 0.8 * scale), mc_iters=count) for count in (300, 1500))
    assert few.laws.in_all_examples is not None
    assert few.laws.in_all_examples.ratio > 1.25
    assert not many.laws.agrees
    assert many.laws.worst.kind is Kind.SPREAD


def _patched_keys(monkeypatch: pytest.MonkeyPatch, draws: Callable[[int], int], stream: Callable[[str], str]) -> None:
    """Take the noise of other draws or streams."""
    honest = noise.noise_keys

    def keys(seed: int, numbers: Iterable[int], streams: Sequence[str]) -> AnyArray:
        return honest(seed, [draws(number) for number in numbers], [stream(key) for key in streams])

    monkeypatch.setattr("bprune.engines.tensorflow.engine.noise_keys", keys)


@pytest.mark.parametrize("name", ["mixed", "dense", "conv", "regression"])
def test_noise_that_is_the_same_in_all_draws(
    name: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    world = request.getfixturevalue(name)
    _patched_keys(monkeypatch, lambda draw: 7, lambda key: key)
    result = world.verify()
    assert result.zero_scale.within
    assert not result.laws.agrees


def test_noise_that_two_layers_share(twins: World, monkeypatch: pytest.MonkeyPatch) -> None:
    _patched_keys(monkeypatch, lambda draw: draw, lambda key: key.replace("right", "left"))
    result = twins.verify()
    assert result.zero_scale.within
    assert not result.laws.agrees
    assert result.laws.worst.kind is Kind.SPREAD


def test_a_compaction_that_changes_a_draw_fails_law_6(dense: World, monkeypatch: pytest.MonkeyPatch) -> None:
    from bprune.lowering.lower import specialise

    def wrong(program: Program, masks: Any, *, compact: bool = True) -> Program:
        result = specialise(program, masks, compact=compact)
        return _kernel("den_3", lambda item: replace(item, ids=_rolled(item).ids))(result) if compact else result

    monkeypatch.setattr("bprune.inference.verify.specialise", wrong)
    result = dense.verify()
    assert result.zero_scale.within
    assert result.laws.agrees
    assert len(result.failures) == 1
    assert result.failures[0].startswith("law 6 (compacted equals masked) fails: draw ")


@pytest.mark.parametrize(("name", "threshold"), [("dense", 2.0), ("conv", 4.0), ("mixed", 1.5)])
def test_pruned_programs_pass(name: str, threshold: float, request: pytest.FixtureRequest) -> None:
    world = request.getfixturevalue(name)
    masks = plan_pruning(world.case, world.network, Rule(threshold), allow_empty_layers=False).masks
    oracle = GraphEngine(world.case, world.network, masks, 0)
    result = verify(world.case, world.network, masks, oracle, world.inputs, mc_iters=200, seed=3)
    assert result.failures == ()
    assert result.sizes.total.after.live_weights < result.sizes.total.before.live_weights
    wrong = verify(world.case, world.network, world.network.masks, oracle, world.inputs, mc_iters=1000)
    assert not wrong.laws.agrees


def test_bfloat16_passes_with_its_own_tolerance(dense: World) -> None:
    result = verify(
        dense.case,
        dense.network,
        dense.network.masks,
        dense.oracle,
        dense.inputs,
        mc_iters=dense.mc_iters,
        precision=Precision.BFLOAT16,
    )
    exact = dense.verify()
    assert result.failures == ()
    assert result.laws.in_one_example.ratio > 1.2 * exact.laws.in_one_example.ratio


def test_the_operations_of_every_layer_are_told(mixed: World) -> None:
    found = {row.layer: row.operations for row in mixed.verify().sizes.rows}
    assert found == dict.fromkeys(("flip", "laplace", "lognormal", "local"), ("Dense",))


@pytest.mark.parametrize("name", ["dense", "conv", "mixed"])
def test_the_native_engine_passes_and_wrong_noise_does_not(name: str, request: pytest.FixtureRequest) -> None:
    world = request.getfixturevalue(name)

    def run(program: Program) -> Verification:
        return verify_program(
            world.case,
            world.network,
            world.network.masks,
            program,
            world.oracle,
            world.inputs,
            mc_iters=400,
            seed=5,
            engine=EngineName.NATIVE,
        )

    right = run(world.program)
    assert right.engine == "native"
    assert right.failures == ()
    wide = [
        with_weights(
            op,
            {
                field: item if item.scale is None else replace(item, scale=item.scale * np.float32(2.0))
                for field, item in weights_of(op).items()
            },
        )
        for op in world.program.ops
    ]
    wrong = run(world.program.replaced(wide))
    assert not wrong.laws.agrees


def test_an_engine_that_does_not_do_it_is_refused(dense: World) -> None:
    with pytest.raises(UsageError, match="the engine graph does not run programs"):
        verify_program(
            dense.case,
            dense.network,
            dense.network.masks,
            dense.program,
            dense.oracle,
            dense.inputs,
            engine=EngineName.GRAPH,
        )
