"""A run by workers is the run of one process, to the last bit, however it is divided (law 7)."""

from __future__ import annotations

import dataclasses
import itertools
import json
import pickle
import shutil
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import bprune
from bprune import load_case
from bprune.engines.choose import Prepared
from bprune.errors import EngineError, InputError, UsageError
from bprune.inference.adaptive import group_size
from bprune.inference.amount import Amount
from bprune.inference.antithetic import pair_draws
from bprune.inference.dispatch import calls_of, merge, run, shares_of
from bprune.inference.kept import KeptDraws
from bprune.inference.recipe import Recipe, pack_masks, unpack_masks
from bprune.inference.share import Done, run_share
from bprune.inference.stopping import Stopping
from bprune.judgement.measure import Draws, prepare_draws
from bprune.posterior import read_network
from bprune.pruning import Rule, choose_masks
from bprune.results.record import load_data
from bprune.scale import Share, Workers
from tests.scale.here import Here

EXAMPLES = 100


class World:
    """A sample case with an engine whose blocks are small."""

    def __init__(self, path: Path, *, engine: str, paired: bool = False, sparsity: float = 0.5) -> None:
        self.case = load_case(path)
        network = read_network(self.case)
        masks = choose_masks(network, Rule(sparsity=sparsity))
        self.prepared: Prepared = prepare_draws(self.case, network, masks, Draws(20, 3, engine))
        if paired:
            self.prepared = pair_draws(self.prepared)
        self.prepared.engine.prepare(EXAMPLES)
        data = load_data(self.case, self.prepared.engine, None)
        self.inputs = data.inputs[:EXAMPLES]
        self.labels = None if data.labels is None else data.labels[:EXAMPLES]
        self.paired = paired

    def run(self, amount: Amount, workers: Workers | None = None) -> dict[str, bytes]:
        sink = KeptDraws(0, len(self.inputs), range(amount.mc_iters))
        run(self.prepared, self.inputs, self.labels, amount, sink=sink, workers=workers)
        return contents(sink, amount)


def contents(sink: KeptDraws, amount: Amount) -> dict[str, bytes]:
    """Everything that a run gave."""
    arrays = dict(vars(sink.summary())) | {"counts": sink.counts()}
    if amount.stored:
        draws = sink.draws()
        arrays |= {"values": draws.values, "scale": draws.scale}
    return {name: values.tobytes() for name, values in arrays.items() if values is not None}


WORLDS: dict[str, tuple[str, dict[str, Any]]] = {
    "native, convolutions": ("digits_conv", {"engine": "native"}),
    "native, antithetic": ("digits_fc", {"engine": "native", "paired": True}),
    "tensorflow": ("digits_fc", {"engine": "tensorflow"}),
    "a regression": ("regression_1d", {"engine": "native"}),
}


@pytest.fixture(autouse=True, scope="module")
def small_blocks() -> Iterator[None]:
    """Engines run few examples at a time, so that there is something to divide."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bprune.engines.native.engine._LARGEST_BLOCK", 24)
        patch.setattr("bprune.engines.native.engine._LARGEST_CHAIN_BLOCK", 24)
        patch.setattr("bprune.engines.tensorflow.blocks._LARGEST_BLOCK", 24)
        patch.setattr("bprune.inference.adaptive._GROUP", 40)
        yield


@pytest.fixture(scope="module", params=WORLDS)
def world(request: pytest.FixtureRequest, samples: Path) -> World:
    name, options = WORLDS[request.param]
    return World(samples / name, **options)


@pytest.mark.parametrize("stored", [True, False], ids=["draws", "summary"])
def test_any_number_of_workers_gives_the_same_bytes(world: World, stored: bool) -> None:
    amount = Amount(20, paired=world.paired, stored=stored)
    alone = world.run(amount)
    assert ("values" in alone) == stored
    for count in (1, 2, 4) if stored else (3,):
        assert world.run(amount, Workers(Here(), count)) == alone


@settings(deadline=None, max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**31), draws=st.integers(1, 20), batch=st.sampled_from([None, 1, 40]))
def test_any_partition_in_any_order_gives_the_same_bytes(
    world: World, seed: int, draws: int, batch: int | None
) -> None:
    mc_iters = draws * 2 if world.paired else draws
    amount = Amount(mc_iters, paired=world.paired, stored=True)
    engine, task, random = world.prepared.engine, world.case.task, Random(seed)
    rows = _cuts(random, EXAMPLES, engine.block)
    shares = [Share(*row, *column) for row in rows for column in _cuts(random, mc_iters, 2 if world.paired else 1)]
    recipe = Recipe.of(world.prepared.origin, EXAMPLES, engine=engine, paired=world.paired)
    own = dataclasses.replace(amount, batch_size=batch)
    calls = list(enumerate(calls_of(recipe, own, shares, world.inputs, world.labels, task)))
    random.shuffle(calls)
    done = {number: run_share(*call) for number, call in calls}
    sink = KeptDraws(0, EXAMPLES, range(mc_iters))
    merge(shares, iter(done[number] for number in range(len(shares))), world.labels, task, own, sink=sink)
    assert contents(sink, amount) == world.run(amount)


def _cuts(random: Random, total: int, unit: int) -> list[tuple[int, int]]:
    """Some ranges of whole units."""
    edges = sorted({0, total, *(random.randrange(0, total + 1, unit) for _ in range(random.randrange(4)))})
    return list(itertools.pairwise(edges))


@pytest.mark.parametrize("rule", [Stopping(400), Stopping(400, 0.02)], ids=["class", "stderr"])
def test_settled_examples_are_the_same_by_workers(samples: Path, rule: Stopping) -> None:
    world = World(samples / "digits_fc", engine="native", sparsity=0.9)
    amount = Amount(rule.max_mc_iters, rule)
    alone = world.run(amount)
    counts = np.frombuffer(alone["counts"], np.int64)
    assert counts.min() < counts.max()
    assert group_size(world.prepared.engine) < EXAMPLES
    executor = Here()
    assert world.run(amount, Workers(executor, 3)) == alone
    assert executor.calls == 3


def test_draws_in_another_order_would_show(samples: Path) -> None:
    """The negative control: the bytes do depend on the order in which draws are put together."""
    world = World(samples / "digits_fc", engine="native")
    amount = Amount(20, stored=True)
    shares = shares_of(world.prepared.engine, EXAMPLES, amount, workers=4, most=20)
    assert shares[0].draws_stop < 20
    recipe = Recipe.of(world.prepared.origin, EXAMPLES, engine=world.prepared.engine)
    done = [run_share(*call) for call in calls_of(recipe, amount, shares, world.inputs, None, world.case.task)]
    same = [share for share in shares if share.start == shares[0].start]
    swapped = [*reversed(done[: len(same)]), *done[len(same) :]]
    sink = KeptDraws(0, EXAMPLES, range(20))
    merge(shares, iter(swapped), None, world.case.task, amount, sink=sink)
    found, right = contents(sink, amount), world.run(amount)
    assert found["block_mean"] != right["block_mean"]
    assert np.allclose(np.frombuffer(found["mean"], np.float32), np.frombuffer(right["mean"], np.float32))


def test_the_graph_is_not_divided(samples: Path) -> None:
    world = World(samples / "digits_fc", engine="graph")
    with pytest.raises(UsageError, match="draws noise in the order of its calls"):
        world.run(Amount(4), Workers(Here(), 2))


def test_results_files_have_the_same_digest(samples: Path, tmp_path: Path) -> None:
    digests = set()
    changes: dict[str, dict[str, Any]] = {"a": {}, "b": {"executor": Here(), "workers": 3}, "c": {"seed": 1}}
    for name, more in changes.items():
        out = tmp_path / f"{name}.h5"
        with bprune.infer(samples / "digits_fc", out=out, mc_iters=8, threshold=1.0, **more) as results:
            digests.add((name == "c", results.digest()))
    assert len(digests) == 2
    assert len({digest for _, digest in digests}) == 2


def test_a_recipe_is_plain_and_complete(samples: Path) -> None:
    world = World(samples / "digits_fc", engine="native", paired=True)
    recipe = Recipe.of(world.prepared.origin, EXAMPLES, engine=world.prepared.engine, paired=True)
    again = Recipe.from_json(json.loads(json.dumps(recipe.to_json())))
    assert (again, again.digest) == (recipe, recipe.digest)
    masks = world.prepared.origin.masks
    unpacked = unpack_masks(pack_masks(masks))
    assert set(unpacked) == set(masks)
    assert all(np.array_equal(unpacked[name], mask) for name, mask in masks.items())
    with pytest.raises(ValueError, match="damaged"):
        unpack_masks('{"w": [[2], "AAAA"]}')


def test_a_case_that_was_changed_is_refused(samples: Path, tmp_path: Path) -> None:
    shutil.copytree(samples / "digits_fc", tmp_path / "case")
    world = World(tmp_path / "case", engine="native")
    recipe = Recipe.of(world.prepared.origin, EXAMPLES, engine=world.prepared.engine)
    share, amount = Share(0, 24, 0, 1), Amount(1)

    def refused(recipe: Recipe, kind: type[Exception], message: str) -> None:
        with pytest.raises(kind, match=message):
            run_share(recipe, amount, share, world.inputs[:24], None)

    refused(dataclasses.replace(recipe, versions=(("numpy", "0.1"),)), EngineError, "numpy .*, not 0.1")
    refused(dataclasses.replace(recipe, block=7), EngineError, "runs blocks of 20 examples here, and of 7")
    names = next((tmp_path / "case").glob("OpsNames.txt"))
    names.write_text(names.read_text() + "\n# another\n")
    refused(recipe, InputError, "its digest differs")


def test_what_a_share_gives_can_travel(samples: Path) -> None:
    world = World(samples / "regression_1d", engine="native")
    recipe = Recipe.of(world.prepared.origin, EXAMPLES, engine=world.prepared.engine)
    done = run_share(recipe, Amount(4, stored=True), Share(0, 20, 0, 4), world.inputs[:20], None)
    assert isinstance(pickle.loads(pickle.dumps(done)), Done)
