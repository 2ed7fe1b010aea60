"""Altered graphs: a typed error or a program that is right; no other exception, and no absurd amount of memory."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bprune.case import Case, load_case
from bprune.case.nodes import Nodes
from bprune.engines.check import graph_at_zero_scale
from bprune.errors import BPruneError, NotLoweredError
from bprune.lowering.read import read_program
from bprune.posterior import read_network
from tests.lowering.graphs import RELATIVE_TOLERANCE, inputs_of
from tests.lowering.reference import run_program

ALIKE = (
    "Abs Elu Erf Exp Floor Identity Log Neg OnesLike Relu Rsqrt Sigmoid Sign Softmax Softplus Sqrt Square Tanh".split(),
    "Add AddV2 BiasAdd FloorDiv Greater MatMul Maximum Minimum Mul Pow RealDiv SquaredDifference Sub".split(),
    "Max Mean Min Prod Sum".split(),
    "AvgPool MaxPool".split(),
    "BroadcastTo ExpandDims Reshape ReverseV2 Tile Transpose".split(),
)
NUMBERS = (0, 1, -1, 2, 3, 4, -2, 7, -5, 1 << 20, (1 << 31) - 1)


def altered(case: Case, change: Callable[[Any], object]) -> Case:
    """The case with another graph."""
    import tensorflow as tf

    graph_def = tf.compat.v1.GraphDef()
    graph_def.CopyFrom(case.graph.graph_def)
    change(graph_def)
    nodes = Nodes([*graph_def.node, *(case.graph.nodes[item.name] for item in case.graph.variables)])
    return replace(case, graph=replace(case.graph, graph_def=graph_def, nodes=nodes))


def _mutate(graph_def: Any, chance: random.Random) -> None:
    """Another operation, another input, other numbers in a constant, or another attribute."""
    import tensorflow as tf

    node = chance.choice(graph_def.node)
    group = next((item for item in ALIKE if node.op in item), None)
    kind = chance.random()
    if group is not None and kind < 0.4:
        node.op = chance.choice(group)
    elif len(node.input) and kind < 0.7:
        node.input[chance.randrange(len(node.input))] = chance.choice(graph_def.node).name
    elif node.op == "Const" and node.attr["dtype"].type in {1, 3}:
        value = np.array(tf.make_ndarray(node.attr["value"].tensor))
        if value.size:
            value.reshape(-1)[chance.randrange(value.size)] = chance.choice(NUMBERS)
        if chance.random() < 0.2:
            value = value.reshape(-1)[: chance.randrange(value.size + 1)]
        node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(value))
    else:
        for attribute in node.attr.values():
            if attribute.WhichOneof("value") == "b":
                attribute.b = not attribute.b
            elif len(attribute.list.i):
                attribute.list.i[chance.randrange(len(attribute.list.i))] = chance.choice(NUMBERS)


def _agrees(case: Case) -> bool | None:
    """Whether program and graph agree; None where one of them refuses."""
    inputs = inputs_of(case)
    try:
        network = read_network(case)
        program = read_program(case, network)
        expected = graph_at_zero_scale(case, network, inputs)
    except BPruneError:
        return None
    found = run_program(program, inputs)
    return all(
        a.shape == b.shape and not np.abs(a - b).max() > 2 * RELATIVE_TOLERANCE * max(float(np.abs(a).max()), 1e-9)
        for a, b in zip(expected, found, strict=True)
        if np.isfinite(a).all() and np.isfinite(b).all()
    )


@pytest.mark.parametrize("name", ["mixed", "digits_conv"])
def test_altered_graphs(name: str, mixed_case: Path, samples: Path) -> None:
    case = load_case(mixed_case if name == "mixed" else samples / name)
    chance = random.Random(7)
    outcomes = []
    for _ in range(60):
        try:
            changed = altered(case, lambda graph_def: _mutate(graph_def, chance))
            changed = (
                altered(changed, lambda graph_def: _mutate(graph_def, chance)) if chance.random() < 0.3 else changed
            )
        except BPruneError:
            continue  # a circle
        outcomes.append(_agrees(changed))
    assert False not in outcomes
    assert outcomes.count(True) >= 5
    assert outcomes.count(None) >= 5


def _behind_the_output(case: Case, *operations: tuple[str, str, list[str], dict[str, Any]]) -> Case:
    """The case with more operations, the last of which is the output."""
    import tensorflow as tf

    def extend(graph_def: Any) -> None:
        for name, op, inputs, attributes in operations:
            node = graph_def.node.add(name=name, op=op, input=inputs)
            for key, value in attributes.items():
                if isinstance(value, np.ndarray):
                    node.attr[key].tensor.CopyFrom(tf.make_tensor_proto(value))
                else:
                    node.attr[key].type = value

    extended = altered(case, extend)
    return replace(extended, graph=replace(extended.graph, outputs=(f"{operations[-1][0]}:0",)))


def _constant(name: str, value: Any, number: int = 3) -> tuple[str, str, list[str], dict[str, Any]]:
    dtype = np.int32 if number == 3 else np.float32
    return name, "Const", [], {"value": np.asarray(value, dtype), "dtype": number}


def test_constants_that_do_not_fit_in_memory(mixed_case: Path) -> None:
    case = load_case(mixed_case)
    output = case.graph.outputs[0].removesuffix(":0")
    changed = _behind_the_output(
        case,
        _constant("huge/shape", [1 << 20, 1 << 20, 3]),
        _constant("huge/value", 1.0, 1),
        ("huge/fill", "Fill", ["huge/shape", "huge/value"], {"T": 1}),
        _constant("huge/axes", [0, 1]),
        ("huge/sum", "Sum", ["huge/fill", "huge/axes"], {"T": 1}),
        ("huge/out", "AddV2", [output, "huge/sum"], {"T": 1}),
    )
    with pytest.raises(NotLoweredError, match=r"'huge/sum' \(Sum\) reduces what is no tensor of the program"):
        read_program(changed, read_network(changed))


def test_work_that_a_small_file_asks_for(mixed_case: Path) -> None:
    """Every constant fits; a thousand of them are too many."""
    case = load_case(mixed_case)
    output = case.graph.outputs[0].removesuffix(":0")
    operations = [
        _constant("many/shape", [1 << 10, 1 << 10, 8]),
        _constant("many/value", 1.0, 1),
        ("many/0", "Fill", ["many/shape", "many/value"], {"T": 1}),
        *((f"many/{number + 1}", "Neg", [f"many/{number}"], {"T": 1}) for number in range(60)),
        _constant("many/axes", [0, 1, 2]),
        ("many/sum", "Sum", ["many/60", "many/axes"], {"T": 1}),
        ("many/out", "AddV2", [output, "many/sum"], {"T": 1}),
    ]
    changed = _behind_the_output(case, *operations)
    with pytest.raises(NotLoweredError, match=r"is part of constant arithmetic or of functions that are too large"):
        read_program(changed, read_network(changed))


def test_a_chain_that_is_deeper_than_python(mixed_case: Path) -> None:
    case = load_case(mixed_case)
    output = case.graph.outputs[0].removesuffix(":0")
    names = [output, *(f"deep/{number}" for number in range(5000))]
    chain = [(name, "Identity", [before], {"T": 1}) for before, name in itertools.pairwise(names)]
    changed = _behind_the_output(case, *chain)
    network = read_network(case)
    assert len(read_program(changed, network).ops) == len(read_program(case, network).ops)


def test_an_output_that_an_operation_does_not_have(mixed_case: Path) -> None:
    case = load_case(mixed_case)
    output = case.graph.outputs[0].removesuffix(":0")
    changed = _behind_the_output(case, ("odd", "Identity", [f"{output}:7"], {"T": 1}))
    with pytest.raises(NotLoweredError, match=r"has no output 7 that a program knows"):
        read_program(changed, read_network(case))
