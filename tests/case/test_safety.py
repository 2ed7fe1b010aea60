"""A foreign graph runs only what is allowed; what is refused is refused by name and writes nothing."""

from __future__ import annotations

import ast
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bprune
from bprune.case import load_case
from bprune.case.safety import ALLOWED, CALLS, HARMFUL
from bprune.engines.graph import GraphEngine
from bprune.errors import BPruneError, DamagedFileError, RefusedGraphError
from bprune.posterior import read_network
from tests.case import cases
from tests.case.conftest import CliRun

pytestmark = [pytest.mark.filterwarnings(item) for item in cases.THIRD_PARTY]

OUTPUT = "den_1/logits"
DANGEROUS = ("WriteFile", "PyFunc", "EagerPyFunc", "DebugIdentityV2", "DumpTensor", "RemoteCall")


def between_input_and_output(graph_def: Any, operation: str) -> None:
    """The operation stands between the noise-free input and the product."""
    product = cases.node(graph_def, OUTPUT)
    graph_def.node.add(name="evil", op=operation, input=[product.input[0]])
    product.input[0] = "evil"


def elsewhere(graph_def: Any, operation: str) -> None:
    """The operation stands alone in the main graph."""
    graph_def.node.add(name="evil", op=operation)


def on_the_savers_path(graph_def: Any, operation: str) -> None:
    """Restoring the checkpoint would run the operation first."""
    graph_def.node.add(name="evil", op=operation)
    cases.node(graph_def, "save/restore_all").input.append("^evil")


def in_an_unused_function(graph_def: Any, operation: str) -> None:
    """Nobody calls the function."""
    _function(graph_def, "unused", operation)


def in_a_called_function(graph_def: Any, operation: str) -> None:
    """The path from input to output calls a function that calls a function that holds the operation."""
    _function(graph_def, "inner", operation)
    _function(graph_def, "outer", "PartitionedCall", calls={"f": "inner"})
    _call(graph_def, "StatefulPartitionedCall", {"f": "outer"})


def in_a_loop_body(graph_def: Any, operation: str) -> None:
    """The body of a while loop holds the operation."""
    _function(graph_def, "condition", "NoOp")
    _function(graph_def, "body", operation)
    _call(graph_def, "While", {"cond": "condition", "body": "body"})


def in_a_branch(graph_def: Any, operation: str) -> None:
    """One branch of an If holds the operation."""
    _function(graph_def, "then", "NoOp")
    _function(graph_def, "otherwise", operation)
    _call(graph_def, "If", {"then_branch": "then", "else_branch": "otherwise"})


def _function(graph_def: Any, name: str, operation: str, calls: dict[str, str] | None = None) -> None:
    function = graph_def.library.function.add()
    function.signature.name = name
    node = function.node_def.add(name="inside", op=operation)
    for attribute, callee in (calls or {}).items():
        node.attr[attribute].func.name = callee


def _call(graph_def: Any, operation: str, calls: dict[str, str]) -> None:
    product = cases.node(graph_def, OUTPUT)
    node = graph_def.node.add(name="call", op=operation, input=[product.input[0]] * (2 if operation == "If" else 1))
    for attribute in ("Tin", "Tout", "T"):
        node.attr[attribute].list.type.append(1)
    for attribute, callee in calls.items():
        node.attr[attribute].func.name = callee
    product.input[0] = "call"


PLACES: tuple[Callable[[Any, str], None], ...] = (
    between_input_and_output,
    elsewhere,
    on_the_savers_path,
    in_an_unused_function,
    in_a_called_function,
    in_a_loop_body,
    in_a_branch,
)


@pytest.mark.parametrize("operation", DANGEROUS)
@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.__name__)
def test_refused_by_name_wherever_it_stands(small: Path, place: Callable[[Any, str], None], operation: str) -> None:
    cases.alter(small, lambda graph_def: place(graph_def, operation))
    before = cases.all_files(small)
    with pytest.raises(RefusedGraphError, match=rf"refused operations: {operation} \(.*\n.*--trust-graph"):
        load_case(small)
    assert cases.all_files(small) == before


@pytest.mark.parametrize("operation", sorted(HARMFUL))
def test_every_harmful_operation_is_refused_where_nobody_would_run_it(small: Path, operation: str) -> None:
    cases.alter(small, lambda graph_def: elsewhere(graph_def, operation))
    with pytest.raises(RefusedGraphError, match=rf"refused operations: {operation} \(operation 'evil'\)"):
        load_case(small)


@pytest.mark.parametrize(
    "operation",
    [
        *("ReadFile", "DecodeJpeg", "SaveV2", "RestoreV2", "Print", "PrintV2", "TFRecordReaderV2", "SymbolicGradient"),
        *("VarHandleOp", "Assign", "AssignVariableOp", "_Send", "IteratorGetNext", "NoSuchOperation"),
    ],
)
@pytest.mark.parametrize("place", [between_input_and_output, in_a_called_function, in_a_branch])
def test_what_would_run_must_be_on_the_list(small: Path, place: Callable[[Any, str], None], operation: str) -> None:
    if operation in {"VarHandleOp", "IteratorGetNext"} and place is between_input_and_output:
        pytest.skip("the graph is cut there, and the operation is not run")
    cases.alter(small, lambda graph_def: place(graph_def, operation))
    with pytest.raises(RefusedGraphError, match=rf"not allowed: .*{operation} \("):
        load_case(small)


@pytest.mark.parametrize("operation", ["ReadFile", "SaveV2", "TFRecordReaderV2", "PrintV2"])
def test_readers_and_savers_may_be_there_if_nobody_runs_them(small: Path, operation: str) -> None:
    cases.alter(small, lambda graph_def: elsewhere(graph_def, operation))
    assert load_case(small).name == "small"


def test_a_function_that_does_not_exist_is_refused(small: Path) -> None:
    cases.alter(small, lambda graph_def: _call(graph_def, "PartitionedCall", {"f": "nowhere"}))
    with pytest.raises(RefusedGraphError, match="PartitionedCall .* of an unknown function 'nowhere'"):
        load_case(small)


def test_a_function_attribute_on_another_operation_is_refused(small: Path) -> None:
    """Operations such as MapDefun run functions as well; only the known calls may name one."""

    def change(graph_def: Any) -> None:
        _function(graph_def, "inner", "NoOp")
        _call(graph_def, "Identity", {"f": "inner"})

    cases.alter(small, change)
    with pytest.raises(RefusedGraphError, match="not allowed: Identity"):
        load_case(small)


def test_functions_hidden_in_the_attributes_of_a_function(small: Path) -> None:
    """A body may leave a function open as a placeholder that its caller's attributes fill."""

    def change(graph_def: Any) -> None:
        _function(graph_def, "evil", "ReadFile")
        _function(graph_def, "outer", "PartitionedCall")
        graph_def.library.function[1].node_def[0].attr["f"].placeholder = "F"
        _call(graph_def, "PartitionedCall", {"f": "outer"})
        cases.node(graph_def, "call").attr["f"].func.attr["F"].func.name = "evil"

    cases.alter(small, change)
    with pytest.raises(RefusedGraphError, match=r"not allowed: ReadFile \(in function 'evil'\)"):
        load_case(small)


@pytest.mark.parametrize("operation", ["Enter", "Exit", "NextIteration", "LoopCond"])
def test_loops_of_tensorflow_1_are_refused_in_functions(small: Path, operation: str) -> None:
    """Their nesting is checked in the main graph alone."""

    def change(graph_def: Any) -> None:
        in_a_called_function(graph_def, operation)
        inner = graph_def.library.function[0].node_def[0]
        inner.input.append("value")

    cases.alter(small, change)
    with pytest.raises(RefusedGraphError, match=rf"not allowed: {operation} \(in function 'inner'\)"):
        load_case(small)


def test_a_function_with_the_name_of_an_operation_does_not_pass_for_it(small: Path) -> None:
    """TensorFlow itself refuses such a library, before anything runs."""

    def change(graph_def: Any) -> None:
        _function(graph_def, "ReadFile", "NoOp")
        between_input_and_output(graph_def, "ReadFile")

    cases.alter(small, change)
    with pytest.raises(BPruneError, match=r"ReadFile"):
        case = load_case(small)
        GraphEngine(case, read_network(case), read_network(case).masks, seed=1)


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.__name__)
def test_the_command_line_refuses_wherever_it_stands(
    small: Path, tmp_path: Path, cli: Callable[..., CliRun], place: Callable[[Any, str], None]
) -> None:
    cases.alter(small, lambda graph_def: place(graph_def, "EagerPyFunc"))
    before = cases.all_files(tmp_path)
    done = cli("infer", "--case-dir", small, "--json")
    assert done.code == 4
    content = json.loads(done.out)["error"]
    assert content["exit_code"] == 4
    assert "EagerPyFunc" in content["message"]
    assert "--trust-graph" in content["hint"]
    assert cases.all_files(tmp_path) == before


def _write_file(graph_def: Any, target: Path) -> None:
    """A complete WriteFile that would really write, on the way to the output and on the saver's path."""
    import tensorflow as tf

    for name, value in (("evil_name", str(target)), ("evil_content", "harmless marker")):
        constant = graph_def.node.add(name=name, op="Const")
        constant.attr["dtype"].type = tf.string.as_datatype_enum
        constant.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(value))
    graph_def.node.add(name="evil", op="WriteFile", input=["evil_name", "evil_content"])
    cases.node(graph_def, OUTPUT).input.append("^evil")
    cases.node(graph_def, "save/restore_all").input.append("^evil")


@pytest.mark.parametrize("command", ["inspect", "prune", "infer"])
def test_the_command_line_refuses_and_writes_nothing(
    small: Path, tmp_path: Path, cli: Callable[..., CliRun], command: str
) -> None:
    np.savez(small / "heldout.npz", x=cases.inputs(), y=cases.labels())
    marker = tmp_path / "marker"
    cases.alter(small, lambda graph_def: _write_file(graph_def, marker))
    before = cases.all_files(tmp_path)
    done = cli(command, "--case-dir", small)
    assert done.code == 4
    assert done.out == ""
    assert "WriteFile" in done.err
    assert cases.all_files(tmp_path) == before
    assert not marker.exists()


def test_trust_graph_lets_an_unreachable_operation_pass(small: Path, tmp_path: Path) -> None:
    """What is out of reach stays unrun even when the graph is trusted; control edges are not followed either."""
    marker = tmp_path / "marker"
    cases.alter(small, lambda graph_def: _write_file(graph_def, marker))
    case = load_case(small, trust_graph=True)
    network = read_network(case)
    draws = GraphEngine(case, network, network.masks, seed=1).draw(cases.inputs(), range(2))
    assert np.isfinite(draws.values).all()
    assert not marker.exists()


def test_the_command_line_runs_a_trusted_graph(small: Path, tmp_path: Path, cli: Callable[..., CliRun]) -> None:
    """The operation is still not run, as nothing between input and output needs it."""
    np.savez(small / "heldout.npz", x=cases.inputs(), y=cases.labels())
    marker = tmp_path / "marker"
    cases.alter(small, lambda graph_def: _write_file(graph_def, marker))
    before = cases.all_files(small)
    done = cli("infer", "--case-dir", small, "--mc-iters", 2, "--out", "out.h5", "--trust-graph")
    assert (done.code, marker.exists()) == (0, False)
    assert cases.all_files(small) == before
    assert [path.name for path in (tmp_path / "cwd").iterdir()] == ["out.h5"]


def test_trust_graph_runs_operations_beyond_the_list(small: Path) -> None:
    """An operation that is harmless but not listed runs when, and only when, the graph is trusted."""

    def change(graph_def: Any) -> None:
        import tensorflow as tf

        between_input_and_output(graph_def, "BesselJ0")
        cases.node(graph_def, "evil").attr["T"].type = tf.float32.as_datatype_enum

    cases.alter(small, change)
    with pytest.raises(RefusedGraphError, match="not allowed: BesselJ0"):
        load_case(small)
    case = load_case(small, trust_graph=True)
    network = read_network(case)
    assert np.isfinite(GraphEngine(case, network, network.masks, seed=1).draw(cases.inputs(), range(1)).values).all()


@pytest.mark.parametrize("sizes", [[2**40], [-3], [2**20, 2**20, 2**20], [0, -1]])
def test_a_constant_that_claims_terabytes_is_refused_before_it_is_made(small: Path, sizes: list[int]) -> None:
    def change(graph_def: Any) -> None:
        import tensorflow as tf

        constant = graph_def.node.add(name="bomb", op="Const")
        constant.attr["dtype"].type = tf.float32.as_datatype_enum
        tensor = constant.attr["value"].tensor
        tensor.dtype = tf.float32.as_datatype_enum
        tensor.float_val.append(1.0)
        for size in sizes:
            tensor.tensor_shape.dim.add(size=size)
        graph_def.node.add(name="sum", op="AddV2", input=[OUTPUT, "bomb"]).attr["T"].type = constant.attr["dtype"].type
        cases.node(graph_def, "probabilities").input[0] = "sum"

    cases.alter(small, change)
    with pytest.raises(DamagedFileError, match="the constant 'bomb' of the graph claims the shape"):
        load_case(small)


STATEFUL = frozenset(
    # random numbers: their state is a counter
    "Multinomial ParameterizedTruncatedNormal RandomGamma RandomPoissonV2 RandomShuffle RandomStandardNormal "
    "RandomUniform RandomUniformInt TruncatedNormal StatelessRandomGetKeyCounterAlg "
    # reading variables
    "ReadVariableOp ResourceGather VarIsInitializedOp VariableShape IsVariableInitialized "
    # control flow, whose bodies are checked, and a check that raises
    "Assert Case If StatefulPartitionedCall While "
    # lists inside loops, memory, a promise
    "Empty GuaranteeConst TensorListReserve StatelessRandomGetAlg StatelessRandomGetKeyCounter".split()
)
"""Allowed operations that TensorFlow calls stateful, each looked at: none writes, sends or calls out."""


def test_allowed_operations_have_no_side_effects() -> None:
    from tensorflow.python.framework import op_def_registry

    definitions = {name: op_def_registry.get(name) for name in ALLOWED}
    stateful = {name for name, definition in definitions.items() if definition is not None and definition.is_stateful}
    assert stateful <= STATEFUL
    calling = {
        name
        for name, definition in definitions.items()
        if definition is not None and any(item.type in {"func", "list(func)"} for item in definition.attr)
    }
    assert calling <= CALLS
    assert not ALLOWED & HARMFUL


BANNED = {"eval", "exec", "load_model", "import_meta_graph", "py_function", "numpy_function"}
TRAINING = Path(bprune.__file__).parent / "training"
"""Where the user's own network is trained: no file is read, and gradients are averaged by a Python function."""
BANNED_MODULES = {"pickle", "marshal", "dill", "cloudpickle", "shelve", "yaml", "joblib"}


@pytest.mark.parametrize("path", sorted(Path(bprune.__file__).parent.rglob("*.py")), ids=lambda path: path.name)
def test_the_sources_never_unpickle_or_evaluate(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names: set[str] = set()
        if isinstance(node, ast.Call):
            names = {getattr(node.func, "id", ""), getattr(node.func, "attr", "")}
            for keyword in node.keywords:
                if keyword.arg == "allow_pickle":
                    assert isinstance(keyword.value, ast.Constant)
                    assert keyword.value.value is False
        elif isinstance(node, ast.Import):
            assert not {alias.name.split(".")[0] for alias in node.names} & BANNED_MODULES
        elif isinstance(node, ast.ImportFrom):
            assert (node.module or "").split(".")[0] not in BANNED_MODULES
        allowed = {"numpy_function"} if TRAINING in path.parents else set()
        assert not names & BANNED - allowed
