"""Law 4 on load: what equals the graph passes, and planted errors of all sizes are caught."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bprune.case import Case, load_case
from bprune.case.output import Output
from bprune.engines import check
from bprune.engines.check import LARGEST_ERROR, check_lowering, graph_at_zero_scale, probe_inputs
from bprune.engines.graph import GraphEngine
from bprune.errors import SelfCheckError
from bprune.lowering.lower import lower, specialise
from bprune.lowering.ops import Activation, Dense, Function
from bprune.lowering.program import Program, weights_of, with_weights
from bprune.lowering.weights import Weights
from bprune.posterior import Network, read_network
from bprune.pruning.threshold import Rule, choose_masks
from tests.engines.test_tensorflow_engine import large_program
from tests.lowering.programs import Builder
from tests.networks import INPUTS


@pytest.fixture(scope="module")
def mixed(mixed_case: Path) -> tuple[Case, Network, Program]:
    case = load_case(mixed_case)
    network = read_network(case)
    return case, network, lower(case, network)


def test_the_graph_at_zero_scale_is_a_network_of_locations(mixed_case: Path) -> None:
    case = load_case(mixed_case)
    network = read_network(case)
    first = graph_at_zero_scale(case, network, INPUTS)
    assert [item.shape for item in first] == [(4, 3)]
    np.testing.assert_array_equal(first, graph_at_zero_scale(case, network, INPUTS))
    draws = GraphEngine(case, network, network.masks, seed=1).draw(INPUTS, range(2)).values
    assert np.abs(draws[0] - draws[1]).max() > 1e-3, "the scales themselves are not 0"


def test_lowered_cases_pass(mixed: tuple[Case, Network, Program], variational_case: Path) -> None:
    assert check_lowering(*mixed) <= LARGEST_ERROR
    case = load_case(variational_case)
    network = read_network(case)
    assert check_lowering(case, network, lower(case, network)) <= LARGEST_ERROR


def test_a_pruned_and_compacted_program_passes_with_its_masks_alone(mixed: tuple[Case, Network, Program]) -> None:
    case, network, program = mixed
    masks = choose_masks(network, Rule(1.0))
    small = specialise(program, masks)
    assert check_lowering(case, network, small, masks) <= LARGEST_ERROR
    with pytest.raises(SelfCheckError, match="differs by"):
        check_lowering(case, network, small)


def altered_weight(program: Program, number: int, factor: float) -> Program:
    """One weight of an operation that is a little larger."""
    op = [item for item in program.ops if isinstance(item, Dense)][number]
    kernel = weights_of(op)["kernel"]
    loc = kernel.loc.copy()
    place = np.unravel_index(int(np.argmax(np.abs(loc))), loc.shape)
    loc[place] *= factor
    other = with_weights(op, {"kernel": replace(kernel, loc=loc)})
    return program.replaced([other if item is op else item for item in program.ops])


@pytest.mark.parametrize("number", [0, 1, 3])
def test_one_altered_weight_is_refused_with_the_measured_error(
    mixed: tuple[Case, Network, Program], number: int
) -> None:
    case, network, program = mixed
    with pytest.raises(SelfCheckError, match=r"differs by [0-9.e-]+ of the largest output, 1e-05 is allowed"):
        check_lowering(case, network, altered_weight(program, number, 1.01))


def test_another_activation_is_refused(mixed: tuple[Case, Network, Program]) -> None:
    case, network, program = mixed
    ops = [
        replace(op, function=Function.RELU6 if op.function is Function.RELU else Function.SOFTSIGN)
        if isinstance(op, Activation)
        else op
        for op in program.ops
    ]
    with pytest.raises(SelfCheckError, match="not the network of the graph"):
        check_lowering(case, network, program.replaced(ops))


def test_outputs_of_another_number_or_shape_are_refused(mixed: tuple[Case, Network, Program]) -> None:
    case, network, program = mixed
    with pytest.raises(SelfCheckError, match="it has 2 outputs and the graph 1"):
        check_lowering(case, network, replace(program, outputs=program.outputs * 2))
    with pytest.raises(SelfCheckError, match="differs by inf"):
        check_lowering(case, network, replace(program, outputs=(program.ops[0].name,)))


def test_outputs_that_are_not_finite_prove_nothing(
    mixed: tuple[Case, Network, Program], monkeypatch: pytest.MonkeyPatch
) -> None:
    case, network, program = mixed
    monkeypatch.setattr(check, "graph_at_zero_scale", lambda *_: [np.full((8, 3), np.nan, np.float32)])
    with pytest.raises(SelfCheckError, match="differs by nan"):
        check_lowering(case, network, program)


def test_probes_are_the_same_at_every_call_and_in_range() -> None:
    program = Builder(2, 3).build("input")
    floats = probe_inputs(program, "float32")
    assert floats.shape == (8, 2, 3)
    assert floats.dtype == np.float32
    np.testing.assert_array_equal(floats, probe_inputs(program, "float32"))
    assert floats[:4].min() >= 0.0 > floats[4:].min()
    for dtype, largest in (("uint8", 255), ("int8", 127), ("int64", 255), ("bool", 1)):
        values = probe_inputs(program, dtype)
        assert values.dtype == dtype
        assert values.min() >= 0
        assert 0 < int(values.max()) <= largest


def test_bfloat16_is_measured_against_the_same_draws_in_float32() -> None:
    assert 1e-6 < check.bfloat16_difference(large_program(), Output.LOGITS, "float32") < 0.01


def test_cancellation_that_bfloat16_cannot_do_is_measured() -> None:
    """The difference of two nearly equal, large numbers: 8 bits lose it."""
    b = Builder(2)
    b.put(Dense("difference", (b.affine("input", shift=100.0),), Weights(np.asarray([[1.0], [-1.0]], np.float32))))
    program = b.build(b.dense("difference", 3))
    assert check.bfloat16_difference(program, Output.PREDICTION, "float32") > check.LARGEST_BFLOAT16_DIFFERENCE
