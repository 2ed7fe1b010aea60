"""The choice between engines: what is taken, what is refused, and what is told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bprune.case import Case, load_case
from bprune.engines import Sampling, choose
from bprune.engines.choose import EngineName, prepare_engine
from bprune.engines.graph import GraphEngine
from bprune.engines.native import NativeEngine
from bprune.engines.tensorflow import Precision
from bprune.errors import BPruneError, EngineError, NotLoweredError, SelfCheckError, UsageError
from bprune.posterior import Network, read_network
from bprune.pruning.threshold import Rule, choose_masks
from tests.laws import law_distance, same_law
from tests.networks import INPUTS


@pytest.fixture(scope="module")
def mixed(mixed_case: Path) -> tuple[Case, Network]:
    case = load_case(mixed_case)
    return case, read_network(case)


def test_auto_takes_the_program_where_the_network_can_be_lowered(mixed: tuple[Case, Network]) -> None:
    case, network = mixed
    prepared = prepare_engine(case, network, network.masks)
    assert isinstance(prepared.engine, NativeEngine)
    assert prepared.plan.engine == "native"
    assert prepared.plan.sampling == "weights"
    assert prepared.plan.reason == ""
    told = "\n".join(prepared.plan.lines)
    for words in ("blocks of up to", "flip: dense 6x8, 48 of 48 weights live, float32", "all scales 0"):
        assert words in told
    assert json.loads(prepared.plan.to_json())["before"]["weights"] >= 159


@pytest.mark.parametrize("name", ["auto", "native"])
def test_a_cpu_takes_float32_where_bfloat16_is_not_faster(mixed: tuple[Case, Network], name: str) -> None:
    case, network = mixed
    prepared = prepare_engine(case, network, network.masks, name=name, precision="bfloat16")
    assert (prepared.plan.engine, prepared.plan.precision) == ("native", "float32")
    assert "no layer is faster in bfloat16 on this CPU: float32 is used" in prepared.plan.lines


def test_both_engines_have_one_law(mixed: tuple[Case, Network]) -> None:
    """False-alarm rate 1e-6; a network with other masks is told apart."""
    case, network = mixed

    def draws(name: str, masks: Any) -> Any:
        return prepare_engine(case, network, masks, name=name, seed=2).engine.draw(INPUTS, range(3000)).values

    graph = draws("graph", network.masks)
    assert same_law(draws("tensorflow", network.masks), graph)
    pruned = choose_masks(network, Rule(1.0))
    assert law_distance(draws("tensorflow", pruned), graph) > 20.0
    assert same_law(draws("tensorflow", pruned), draws("graph", pruned))


def test_pruned_sizes_are_told(mixed: tuple[Case, Network]) -> None:
    case, network = mixed
    masks = dict(choose_masks(network, Rule(0.5)))
    masks["local/kernel"] = masks["local/kernel"].copy()
    masks["local/kernel"][2] = False
    compacted, whole = (prepare_engine(case, network, masks, compact=compact) for compact in (True, False))
    assert compacted.plan.after["multiply_adds"] < compacted.plan.before["multiply_adds"]
    assert whole.plan.after["multiply_adds"] == whole.plan.before["multiply_adds"]
    assert any(" -> " in line for line in compacted.plan.lines)
    values = [item.engine.draw(INPUTS, range(20)).values for item in (compacted, whole)]
    np.testing.assert_allclose(values[0], values[1], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    "error", [NotLoweredError("there is a Fancy"), SelfCheckError("it differs by 0.3"), EngineError("no")]
)
def test_what_cannot_be_lowered_runs_as_its_graph_and_the_reason_is_told(
    mixed: tuple[Case, Network], monkeypatch: pytest.MonkeyPatch, error: BPruneError
) -> None:
    def fail(*_: Any) -> None:
        raise error

    monkeypatch.setattr(choose, "check_lowering", fail)
    case, network = mixed
    prepared = prepare_engine(case, network, network.masks)
    assert isinstance(prepared.engine, GraphEngine)
    assert prepared.plan.reason == error.message
    assert error.message in prepared.plan.lines[0]
    for choice in ({"name": "tensorflow"}, {"sampling": "weights"}, {"precision": "bfloat16"}):
        with pytest.raises(type(error), match=error.message):
            prepare_engine(case, network, network.masks, **choice)  # type: ignore[arg-type]


def test_as_trained_is_the_graph(mixed: tuple[Case, Network]) -> None:
    case, network = mixed
    prepared = prepare_engine(case, network, network.masks, sampling=Sampling.AS_TRAINED)
    assert isinstance(prepared.engine, GraphEngine)
    assert "as it was trained" in prepared.plan.reason
    assert prepare_engine(case, network, network.masks, name="graph").plan.sampling == "as-trained"


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"name": "graph", "sampling": "weights"}, "cannot share one set of weights"),
        ({"name": "graph", "precision": "bfloat16"}, "--precision bfloat16 does not go with it"),
        ({"sampling": "as-trained", "precision": "bfloat16"}, "which the graph alone does"),
        ({"name": "tensorflow", "sampling": "as-trained"}, "not as it was trained"),
        ({"name": "native", "sampling": "as-trained"}, "not as it was trained"),
        ({"name": "tensorflow", "sampling": "per-example"}, "does not sample per example"),
        ({"name": "tensorfow"}, "the engine 'tensorfow' is not one of auto, graph, tensorflow, native"),
        ({"sampling": "flipout"}, "the sampling 'flipout' is not one of as-trained, per-example, weights"),
        ({"precision": "float16"}, "the precision 'float16' is not one of float32, bfloat16"),
    ],
)
def test_what_no_engine_does_is_refused(mixed: tuple[Case, Network], choice: dict[str, Any], message: str) -> None:
    case, network = mixed
    with pytest.raises(UsageError, match=message):
        prepare_engine(case, network, network.masks, **choice)


def test_bfloat16_is_taken_where_it_is_accurate_and_told_where_not(
    mixed: tuple[Case, Network], monkeypatch: pytest.MonkeyPatch
) -> None:
    case, network = mixed
    prepared = prepare_engine(case, network, network.masks, name="tensorflow", precision=Precision.BFLOAT16)
    assert prepared.plan.precision == "bfloat16"
    assert any("flip: dense 6x8" in line and line.endswith("bfloat16") for line in prepared.plan.lines)
    assert any("local: dense" in line and line.endswith("float32") for line in prepared.plan.lines)
    monkeypatch.setattr(choose, "bfloat16_difference", lambda *_: 0.2)
    refused = prepare_engine(case, network, network.masks, name="tensorflow", precision=Precision.BFLOAT16)
    assert refused.plan.precision == "float32"
    assert "draws in bfloat16 differ by 0.2 on average on test inputs, 0.01 is allowed: float32 is used" in (
        refused.plan.lines
    )


def test_every_choice_says_what_it_means() -> None:
    import inspect

    for kind in (EngineName, Sampling, Precision):
        source = inspect.getsource(kind)
        assert source.count('"""') == 2 * (1 + len(kind))
