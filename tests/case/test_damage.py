"""Truncated, altered and mismatched files: a typed error or a sound network, no crash, and nothing half-written."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bprune import errors
from bprune.arrays import AnyArray
from bprune.case import load_case
from bprune.case.checkpoint import open_checkpoint, write_checkpoint
from bprune.engines.graph import GraphEngine
from bprune.errors import BPruneError, DamagedFileError, InputError, UnsupportedError
from bprune.posterior import read_network
from tests.case import cases
from tests.case.cases import THIRD_PARTY
from tests.case.graph_child import GraphChild

pytestmark = [pytest.mark.filterwarnings(line) for line in THIRD_PARTY]

TYPED = {name for name in errors.__all__ if issubclass(getattr(errors, name), BPruneError)}


@pytest.fixture(scope="module")
def child(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GraphChild]:
    with GraphChild(tmp_path_factory.mktemp("cwd")) as process:
        yield process


def outcomes(child: GraphChild, case: Path, contents: Iterable[bytes]) -> Counter[str]:
    """What comes of a case with each of some contents as its MetaGraph."""
    meta = cases.meta_of(case)
    before = {path: content for path, content in cases.all_files(case).items() if path != meta}
    found: Counter[str] = Counter()
    for content in contents:
        meta.write_bytes(content)
        outcome = child.run(case)
        assert outcome == "ok" or outcome in TYPED, f"{outcome}\n{len(content)} bytes"
        found[outcome] += 1
    after = {path: content for path, content in cases.all_files(case).items() if path != meta}
    assert after == before
    assert not cases.all_files(child.folder)
    return found


# The MetaGraph


def test_the_case_is_sound(small: Path, child: GraphChild) -> None:
    assert outcomes(child, small, [cases.meta_of(small).read_bytes()]) == {"ok": 1}


def test_truncated_meta(small: Path, child: GraphChild) -> None:
    content = cases.meta_of(small).read_bytes()
    cuts = [0, 1, *sorted(random.Random(1).sample(range(2, len(content)), 48))]
    found = outcomes(child, small, (content[:cut] for cut in cuts))
    assert set(found) <= {"DamagedFileError", "ok"}
    assert found["ok"] <= 10  # a cut between two fields after the graph leaves a sound message


@pytest.mark.parametrize("case", [cases.small_case, cases.keras_case], ids=["small", "keras"])
def test_flipped_bits_of_meta(tmp_path: Path, child: GraphChild, case: Callable[[], Path]) -> None:
    """A MetaGraph has no checksum, so a flip may give a different sound network; it never gives a crash."""
    copy = cases.copied(case(), tmp_path / "case")
    content = cases.meta_of(copy).read_bytes()

    def flipped() -> Iterator[bytes]:
        for position in random.Random(2).sample(range(8 * len(content)), 100):
            altered = bytearray(content)
            altered[position // 8] ^= 1 << position % 8
            yield bytes(altered)

    found = outcomes(child, copy, flipped())
    assert found["DamagedFileError"] > 10


def test_altered_attributes(keras: Path, child: GraphChild) -> None:
    """Absurd numbers, types and shapes in the nodes that are run."""
    kept = [node.name for node in load_case(keras).graph.nodes]
    meta_graph = cases.read_meta(keras)
    generator = random.Random(3)

    def altered() -> Iterator[bytes]:
        for _ in range(200):
            copy = type(meta_graph).FromString(meta_graph.SerializeToString())
            node = cases.node(copy.graph_def, generator.choice(kept))
            _alter_attribute(node.attr[generator.choice(sorted(node.attr) or ["T"])], generator)
            yield copy.SerializeToString()

    found = outcomes(child, keras, altered())
    assert found["DamagedFileError"] > 10
    assert found["UnsupportedError"] > 10


def _alter_attribute(value: Any, generator: random.Random) -> None:
    number = generator.choice([0, 1, -1, 7, 2**31 - 1, 2**40, -(2**63)])
    kind = value.WhichOneof("value")
    if kind == "i":
        value.i = number
    elif kind == "b":
        value.b = not value.b
    elif kind == "s":
        value.s = generator.choice([b"", b"\xff", b"VALID", b"x" * 1000])
    elif kind == "shape":
        value.shape.dim.add().size = number
    elif kind == "tensor" and generator.random() < 0.5:
        value.tensor.tensor_shape.dim.add().size = number
    elif kind == "tensor":
        value.tensor.dtype = generator.choice([0, 1, 3, 7, 9, 20, 33, 99])
    else:
        value.type = generator.choice([0, 2, 3, 7, 9, 10, 19, 20, 21, 33, 101, 99])


@pytest.mark.parametrize(
    "content", [b"", b"\0" * 1000, b"a text\n" * 100, b"\x1f\x8b\x08\0\0", bytes(range(256)) * 8], ids=range(5)
)
def test_no_meta_graph_at_all(small: Path, content: bytes) -> None:
    cases.meta_of(small).write_bytes(content)
    with pytest.raises(
        DamagedFileError, match=r"model-7.ckpt.meta (is not a MetaGraph|holds no graph).*\nCopy the file"
    ):
        load_case(small)


def test_a_graph_without_its_wrapper(small: Path) -> None:
    graph_def = cases.read_meta(small).graph_def
    cases.meta_of(small).write_bytes(graph_def.SerializeToString())
    with pytest.raises(DamagedFileError, match=r"is not a MetaGraph|holds no graph"):
        load_case(small)


# Graphs that TensorFlow crashes or hangs on, or that say something impossible


def two_types(graph_def: Any) -> None:
    cases.node(graph_def, "den_1/Const").attr["value"].tensor.dtype = 3


def too_few_values(graph_def: Any) -> None:
    cases.node(graph_def, "den_1/Const").attr["value"].tensor.tensor_content = b"abc"


def unknown_type(graph_def: Any) -> None:
    constant = cases.node(graph_def, "den_1/Const")
    constant.attr["value"].tensor.dtype = constant.attr["dtype"].type = 99


def handle(graph_def: Any) -> None:
    constant = cases.node(graph_def, "den_1/Const")
    constant.attr["value"].tensor.dtype = constant.attr["dtype"].type = 20


def two_of_a_name(graph_def: Any) -> None:
    graph_def.node.add().CopyFrom(cases.node(graph_def, "x"))


def dangling_input(graph_def: Any) -> None:
    cases.node(graph_def, "probabilities").input[0] = "nowhere"


def no_input(graph_def: Any) -> None:
    del cases.node(graph_def, "probabilities").input[:]


def input_too_many(graph_def: Any) -> None:
    cases.node(graph_def, "probabilities").input.append("x")


def control_before_data(graph_def: Any) -> None:
    cases.node(graph_def, "probabilities").input.insert(0, "^x")


def absurd_number_of_inputs(graph_def: Any) -> None:
    node = graph_def.node.add(name="sum", op="AddN", input=["den_1/logits"])
    node.attr["T"].type = 1
    node.attr["N"].i = 2**31 - 1


def absurd_number_of_outputs(graph_def: Any) -> None:
    node = graph_def.node.add(name="parts", op="Unpack", input=["den_1/logits"])
    node.attr["T"].type = 1
    node.attr["num"].i = 2**31 - 1


def circle(graph_def: Any) -> None:
    cases.node(graph_def, "den_1/Softplus").input[0] = "den_1/mul"


def attribute_that_is_no_text(graph_def: Any) -> None:
    cases.node(graph_def, "den_1/logits").attr["message"].s = b"\xff\0"


def absurd_input(graph_def: Any) -> None:
    cases.node(graph_def, "x").attr["shape"].shape.dim[1].size = 2**40


def exit_from_no_loop(graph_def: Any) -> None:
    cases.node(graph_def, "den_1/Softplus").op = "Exit"


def end_of_no_loop(graph_def: Any) -> None:
    cases.node(graph_def, "den_1/Softplus").op = "NextIteration"


def way_into_a_loop(graph_def: Any) -> None:
    entry = cases.node(graph_def, "den_1/Softplus")
    entry.op = "Enter"
    entry.attr["frame_name"].s = b"loop"
    entry.attr["is_constant"].b = True


IMPOSSIBLE: list[tuple[Callable[[Any], None], type[InputError], str]] = [
    (two_types, DamagedFileError, r"constant 'den_1/Const' of the graph claims two types"),
    (too_few_values, DamagedFileError, r"constant 'den_1/Const' of the graph has not the values of its shape \[\]"),
    (unknown_type, DamagedFileError, r"the graph names an unknown dtype 99"),
    (handle, UnsupportedError, r"constant 'den_1/Const' of the graph is of the type resource"),
    (two_of_a_name, DamagedFileError, r"the graph has two operations named 'x'"),
    (dangling_input, DamagedFileError, r"'probabilities' has an input 'nowhere' that is not in the graph"),
    (no_input, DamagedFileError, r"'probabilities' \(Softmax\) has not the inputs and outputs that it needs\nCopy"),
    (input_too_many, DamagedFileError, r"'probabilities' \(Softmax\) has not the inputs and outputs that it needs"),
    (control_before_data, DamagedFileError, r"'probabilities' \(Softmax\) has not the inputs and outputs"),
    (absurd_number_of_inputs, DamagedFileError, r"'sum' \(AddN\) has not the inputs and outputs that it needs"),
    (absurd_number_of_outputs, DamagedFileError, r"'parts' \(Unpack\) has not the inputs and outputs that it needs"),
    (circle, DamagedFileError, r"waits for itself: the graph has a circle"),
    (attribute_that_is_no_text, DamagedFileError, r"'den_1/logits' has an attribute 'message' that is no text"),
    (absurd_input, DamagedFileError, r"the input 'x:0' claims the shape \[None, 1099511627776\]"),
    (exit_from_no_loop, DamagedFileError, r"'den_1/Softplus' reaches into a loop, or out of one"),
    (end_of_no_loop, DamagedFileError, r"'den_1/Softplus' reaches into a loop, or out of one"),
    (way_into_a_loop, DamagedFileError, r"'den_1/\w+' reaches into a loop, or out of one"),
]


@pytest.mark.parametrize(("change", "error", "message"), IMPOSSIBLE, ids=[item[0].__name__ for item in IMPOSSIBLE])
def test_impossible_graphs(small: Path, change: Callable[[Any], None], error: type[InputError], message: str) -> None:
    with pytest.raises(error, match=message):
        load_case(cases.alter(small, change))


def test_graphs_that_only_tensorflow_can_judge(small: Path) -> None:
    def strange(graph_def: Any) -> None:
        cases.node(graph_def, "den_1/logits").attr["transpose_b"].i = 7

    case = load_case(cases.alter(small, strange))
    with pytest.raises(UnsupportedError, match=r"TensorFlow \S+ cannot build this graph: .*\nThe .meta file may be"):
        GraphEngine(case, read_network(case), read_network(case).masks, 0)


def test_variable_names_that_are_no_names(small: Path) -> None:
    """They must not reach TensorFlow as names of our own variables."""
    old, new = "den_1/kernel_posterior_loc", "two words, and [more]"

    def rename(graph_def: Any) -> None:
        for node in graph_def.node:
            node.name = new if node.name == old else node.name
            for position, reference in enumerate(node.input):
                node.input[position] = new if reference == old else reference

    prefix = small / "model-7.ckpt"
    values = {new if name == old else name: value for name, value in open_checkpoint(prefix).read_all().items()}
    write_checkpoint(prefix, values, overwrite=True)
    case = load_case(cases.alter(small, rename))
    engine = GraphEngine(case, read_network(case), read_network(case).masks, 0)
    assert engine.output_size == cases.CLASSES


# The text files


GARBAGE = [b"", b"\0" * 100, b"\xff" * 100, b"a b c\n", b"# layer\n", b"# role logits\n", os.urandom(300)]


@pytest.mark.parametrize("name", ["LayerNames.txt", "OpsNames.txt"])
@pytest.mark.parametrize("content", GARBAGE, ids=range(len(GARBAGE)))
def test_garbage_of_names(keras: Path, name: str, content: bytes) -> None:
    (keras / name).write_bytes(content)
    before = cases.all_files(keras)
    with contextlib.suppress(InputError):
        load_case(keras)
    assert cases.all_files(keras) == before


def test_layers_of_another_network(keras: Path) -> None:
    (keras / "LayerNames.txt").write_text("den_1/kernel_posterior_loc:0\nden_9/kernel_posterior_loc:0\n")
    with pytest.raises(InputError, match=r"lists variables that the checkpoint model-1000.ckpt does not have: den_9/"):
        load_case(keras)


def test_roles_of_another_network(keras: Path) -> None:
    (keras / "OpsNames.txt").write_text("# role input images\n# role logits den_9/BiasAdd\n")
    with pytest.raises(InputError, match=r"there is no operation 'den_9/BiasAdd' in the graph"):
        load_case(keras)


# Pairings of a graph with another checkpoint


LOC = "den_1/kernel_posterior_loc"


def rewritten(case: Path, change: Callable[[dict[str, AnyArray]], None]) -> Path:
    prefix = case / "model-7.ckpt"
    values = dict(open_checkpoint(prefix).read_all())
    change(values)
    write_checkpoint(prefix, values, overwrite=True)
    return case


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda values: values.pop(LOC), rf"has no variable '{LOC}', which the graph reads\nDo model-7.ckpt.meta and"),
        (
            lambda values: values.update({LOC: values[LOC].T}),
            rf"'{LOC}' has the shape \[6, 3\] in the graph and \[3, 6\] in",
        ),
        (
            lambda values: values.update({LOC: values[LOC][None]}),
            rf"'{LOC}' has the shape \[6, 3\] in .* and \[1, 6, 3\]",
        ),
        (
            lambda values: values.update({LOC: values[LOC].astype("f8")}),
            rf"'{LOC}' is float32 in the graph and float64",
        ),
        (lambda values: values.update({LOC: values[LOC].astype("i4")}), rf"'{LOC}' is float32 in the graph and int32"),
    ],
    ids=["missing", "transposed", "rank", "float64", "int32"],
)
def test_checkpoint_of_another_network(
    small: Path, change: Callable[[dict[str, AnyArray]], None], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        load_case(rewritten(small, change))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_not_finite(small: Path, value: float) -> None:
    def spoil(values: dict[str, AnyArray]) -> None:
        values[LOC] = np.where(np.arange(3) == 1, np.float32(value), values[LOC])

    with pytest.raises(DamagedFileError, match=r"'den_1/kernel' has the loc (nan|inf) at \[0, 1\],? and 5 more such"):
        read_network(load_case(rewritten(small, spoil)))


def test_meta_of_another_network(small: Path, keras: Path) -> None:
    shutil.copyfile(cases.meta_of(small), cases.meta_of(keras))
    for name in ("LayerNames.txt", "OpsNames.txt"):
        (keras / name).unlink()
    with pytest.raises(
        InputError, match=rf"'{LOC}' has the shape \[6, 3\] in the graph and \[6, 5\] in the checkpoint"
    ):
        load_case(keras)
