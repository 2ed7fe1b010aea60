"""A compacted program as a case of its own: smaller, of the same law, and loaded like any case."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from bprune.arrays import AnyArray
from bprune.case import Case, load_case
from bprune.engines.graph import GraphEngine
from bprune.engines.tensorflow import TensorFlowEngine
from bprune.engines.tensorflow.export import save_program_case
from bprune.errors import OutputError
from bprune.lowering.lower import lower, specialise
from bprune.lowering.program import Program, weights_of
from bprune.posterior import Network, read_network
from bprune.pruning import Rule, choose_masks
from bprune.pruning.save import pruning_record
from tests.laws import same_law
from tests.lowering.reference import run_program

SPARSITY = {"digits_conv": 0.9, "mixed": 0.5, "variational": 0.3, "regression_1d": 0.6}


@dataclass
class World:
    """A case, its compacted program, and the case that was written of it."""

    case: Case
    program: Program
    compact: Case
    network: Network

    @property
    def inputs(self) -> AnyArray:
        assert self.case.files.heldout is not None
        with np.load(self.case.files.heldout) as arrays:
            return np.asarray(arrays["x"][:4], self.case.graph.input_dtype)


@pytest.fixture(scope="module", params=SPARSITY)
def world(
    request: pytest.FixtureRequest,
    samples: Path,
    mixed_case: Path,
    variational_case: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> World:
    paths = {"mixed": mixed_case, "variational": variational_case}
    case = load_case(paths.get(request.param, samples / request.param))
    network = read_network(case)
    rule = Rule(None, SPARSITY[request.param])
    masks = choose_masks(network, rule)
    program = specialise(lower(case, network), masks)
    out = tmp_path_factory.mktemp("compact") / request.param
    save_program_case(case, program, out, pruning_record(case, network, masks, rule))
    compact = load_case(out)
    return World(case, program, compact, read_network(compact))


def test_it_holds_the_smaller_tensors(world: World) -> None:
    sampled = [item for op in world.program.ops for item in weights_of(op).values() if item.is_sampled]
    found = {item.shape: int(item.mask.sum()) for item in world.network.posteriors}
    assert found == {item.shape: item.nonzeros for item in sampled}
    assert world.network.unrecognised == ()
    stored = sum(np.prod(entry.shape) for entry in world.compact.checkpoint.entries.values())
    assert stored < sum(np.prod(entry.shape) for entry in world.case.checkpoint.entries.values())


def test_it_means_the_same(world: World) -> None:
    assert (world.compact.roles.kind, world.compact.task) == (world.case.roles.kind, world.case.task)
    assert len(world.compact.roles.outputs) == len(world.case.roles.outputs)
    assert world.compact.graph.input_shape == world.case.graph.input_shape
    assert [item.family.name for item in world.network.posteriors] == [
        item.family for op in world.program.ops for item in weights_of(op).values() if item.is_sampled
    ]


def test_lowering_it_gives_the_program_again(world: World) -> None:
    again = specialise(lower(world.compact, world.network), world.network.masks)
    assert [type(op) for op in again.ops] == [type(op) for op in world.program.ops]
    assert list(again.shapes.values()) == list(world.program.shapes.values())
    for ours, theirs in zip(run_program(again, world.inputs), run_program(world.program, world.inputs), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6 * np.abs(theirs).max())


def test_its_graph_has_the_law_of_the_program(world: World) -> None:
    ours = GraphEngine(world.compact, world.network, world.network.masks, seed=5).draw(world.inputs, range(1500))
    theirs = TensorFlowEngine(world.program, world.case.roles.kind, seed=6).draw(world.inputs, range(1500))
    assert same_law(ours.values, theirs.values)
    if theirs.scale is not None and ours.scale is not None:
        assert same_law(ours.scale, theirs.scale)


def test_any_program_of_tensorflow_1_restores_it(world: World) -> None:
    import tensorflow as tf

    prefix = str(world.compact.files.iteration.prefix)
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        tf.compat.v1.train.import_meta_graph(f"{prefix}.meta").restore(session, prefix)
        values = session.run(world.compact.roles.outputs, {world.compact.graph.input: world.inputs})
    assert all(np.isfinite(item).all() and len(item) == len(world.inputs) for item in values)


def test_an_existing_folder_is_left(world: World, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    with pytest.raises(OutputError, match="there"):
        save_program_case(world.case, world.program, tmp_path / "there", {})
    assert list((tmp_path / "there").iterdir()) == []
