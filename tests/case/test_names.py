"""LayerNames.txt and OpsNames.txt: what is written is read again, and what is no list of names is refused by line."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from bprune.case import names as names_module
from bprune.case.names import (
    ROLE_NAMES,
    LayerNames,
    LayerNote,
    OpsNames,
    format_layer_names,
    format_ops_names,
    read_layer_names,
    read_ops_names,
)
from bprune.errors import DamagedFileError

THEIR_LAYERS = """\
den_1/kernel_posterior_loc:0
den_1/kernel_posterior_untransformed_scale:0
den_1/bias_posterior_loc:0
block/den_2/kernel_posterior_loc:0
block/den_2/kernel_posterior_untransformed_scale:0
temperature:0
"""

FILE = settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
# What TensorFlow allows in a name, and letters that Keras 3 or a hand may add.
WORDS = st.text(st.sampled_from("abcXYZ019_.-/\\>é層"), min_size=1, max_size=12)
WORDS |= st.sampled_from(["layer", "role", "kind=x", "-", "trainable=3", "x" * 1024])
FAMILIES = WORDS.filter(lambda word: word != "-")  # a dash stands for none


@st.composite
def layer_lists(draw: st.DrawFn) -> tuple[LayerNote, ...]:
    """Layers with variables of their own; a layer may have none, and two layers may share a name."""
    variables = draw(st.lists(WORDS, unique=True, max_size=8))
    notes = []
    for _ in range(draw(st.integers(0, 4))):
        count = draw(st.integers(0, len(variables)))
        chosen, variables = tuple(variables[:count]), variables[count:]
        trainable = draw(st.none() | st.integers(0, 10**12))
        notes.append(LayerNote(draw(WORDS), draw(WORDS), draw(st.none() | FAMILIES), trainable, chosen))
    return tuple(notes)


def written(folder: Path, content: str | bytes) -> Path:
    path = folder / "names.txt"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def layers_of(folder: Path, content: str | bytes) -> LayerNames:
    return read_layer_names(written(folder, content))


def operations_of(folder: Path, content: str | bytes) -> OpsNames:
    return read_ops_names(written(folder, content))


# Round trips


@FILE
@given(layers=layer_lists())
@example(layers=())
@example(
    layers=(LayerNote("den_1", "DenseFlipout", "Normal", 12, ("den_1/kernel",)), LayerNote("r", "Relu", None, 0, ()))
)
def test_layers_are_read_as_written(tmp_path: Path, layers: tuple[LayerNote, ...]) -> None:
    again = layers_of(tmp_path, format_layer_names(layers))
    assert again == LayerNames(layers, annotated=bool(layers))
    assert again.variables == tuple(name for layer in layers for name in layer.variables)


@FILE
@given(
    operations=st.lists(WORDS, max_size=8),
    single=st.dictionaries(st.sampled_from([role for role in ROLE_NAMES if role != "sample"]), st.tuples(WORDS)),
    samples=st.lists(WORDS, max_size=3),
)
@example(operations=["x", "y"], single={"input": ("x:0",), "logits": ("split:1",)}, samples=["noise", "noise_1"])
def test_operations_are_read_as_written(
    tmp_path: Path, operations: list[str], single: dict[str, tuple[str, ...]], samples: list[str]
) -> None:
    roles = {**single, **({"sample": tuple(samples)} if samples else {})}
    again = operations_of(tmp_path, format_ops_names(operations, roles))
    assert again == OpsNames(tuple(operations), roles, annotated=bool(roles))
    for role in ROLE_NAMES:
        assert again.role(role) == (roles[role][0] if role in roles else None)


@FILE
@given(content=st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_any_content_is_read_or_refused(tmp_path: Path, content: bytes) -> None:
    path = written(tmp_path, content)
    for read in (read_layer_names, read_ops_names):
        try:
            found = read(path)
        except DamagedFileError as error:
            shown: tuple[str, ...] = (error.message,)
        else:
            shown = found.variables if isinstance(found, LayerNames) else found.operations
        assert all(text.isprintable() for text in shown)


def test_the_text_of_layer_names() -> None:
    layers = (
        LayerNote("den_1", "DenseFlipout", "Normal", 45, ("den_1/kernel_posterior_loc", "den_1/bias_posterior_loc")),
        LayerNote("flatten", "Flatten", None, None, ()),
    )
    assert format_layer_names(layers) == (
        "# bprune-layers 1\n"
        "# layer den_1 kind=DenseFlipout family=Normal trainable=45\n"
        "den_1/kernel_posterior_loc:0\n"
        "den_1/bias_posterior_loc:0\n"
        "# layer flatten kind=Flatten family=-\n"
    )


def test_the_text_of_ops_names() -> None:
    text = format_ops_names(["x", "noise", "out"], {"sample": ("noise",), "logits": ("out:0",), "input": ("x:0",)})
    assert text == "# bprune-ops 1\n# role input x:0\n# role logits out:0\n# role sample noise\nx\nnoise\nout\n"


# Files without annotations


def test_layers_by_scope(tmp_path: Path) -> None:
    found = layers_of(tmp_path, THEIR_LAYERS)
    assert not found.annotated
    assert [(layer.name, len(layer.variables)) for layer in found.layers] == [
        ("den_1", 3), ("block/den_2", 2), ("temperature", 1)
    ]  # fmt: skip
    assert {(layer.kind, layer.family, layer.trainable) for layer in found.layers} == {("unknown", None, None)}
    assert found.variables[0] == "den_1/kernel_posterior_loc"


def test_plain_operations(tmp_path: Path) -> None:
    found = operations_of(tmp_path, "Placeholder\nPlaceholder_1\nden_1/MatMul\n")
    assert found == OpsNames(("Placeholder", "Placeholder_1", "den_1/MatMul"), {}, annotated=False)
    assert found.role("input") is None


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("\n", "\r\n"),
        lambda text: "\ufeff" + text,
        lambda text: "\n\n" + text.replace("\n", "  \n \t\n"),
        lambda text: text.rstrip("\n"),
        lambda text: text.replace(":0", ""),
        lambda text: "# made by hand\n#layer of what?\n#\n# layers follow\n" + text,
        lambda text: "# bprune-layers 1\n" + text,
    ],
    ids=["CRLF", "byte order mark", "blanks", "no end", "no suffix", "comments", "header"],
)
def test_small_differences_do_not_matter(tmp_path: Path, change: object) -> None:
    assert callable(change)
    assert layers_of(tmp_path, change(THEIR_LAYERS)) == layers_of(tmp_path, THEIR_LAYERS)


def test_an_empty_file(tmp_path: Path) -> None:
    assert layers_of(tmp_path, "") == LayerNames((), annotated=False)
    assert operations_of(tmp_path, "\n") == OpsNames(())


# Annotations by hand


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("# layer den_1", LayerNote("den_1", "unknown", None, None, ("den_1/kernel",))),
        ("#\tlayer\tden_1  kind=Dense", LayerNote("den_1", "Dense", None, None, ("den_1/kernel",))),
        ("# layer den_1 family=- kind=A=B", LayerNote("den_1", "A=B", None, None, ("den_1/kernel",))),
        ("# layer den_1 what else=1 trainable=7", LayerNote("den_1", "unknown", None, 7, ("den_1/kernel",))),
        ("# layer den_1 trainable=-7", LayerNote("den_1", "unknown", None, None, ("den_1/kernel",))),
        ("# layer den_1 trainable=²", LayerNote("den_1", "unknown", None, None, ("den_1/kernel",))),
        (f"# layer den_1 trainable={'9' * 5000}", LayerNote("den_1", "unknown", None, None, ("den_1/kernel",))),
    ],
)
def test_a_layer_line(tmp_path: Path, line: str, expected: LayerNote) -> None:
    assert layers_of(tmp_path, f"{line}\nden_1/kernel:0\n") == LayerNames((expected,), annotated=True)


def test_an_annotated_layer_keeps_variables_of_any_name(tmp_path: Path) -> None:
    found = layers_of(tmp_path, "# layer den_1\nden_1/kernel:0\nelsewhere/bias:0\n# layer den_2\nden_1/other:0\n")
    assert [layer.variables for layer in found.layers] == [("den_1/kernel", "elsewhere/bias"), ("den_1/other",)]


def test_roles_may_stand_anywhere(tmp_path: Path) -> None:
    found = operations_of(tmp_path, "x\n# role input x\nnoise\n# role sample noise\n# role sample noise_1\n")
    assert found == OpsNames(("x", "noise"), {"input": ("x",), "sample": ("noise", "noise_1")}, annotated=True)


# What is refused


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("two words", r"line 3: 'two words' is not a variable name\nOne variable per line, such as den_1/kernel"),
        ("a\tb", r"line 3: 'a\\tb' is not a variable name"),
        ("a\0b", r"line 3: 'a\\x00b' is not a variable name"),
        ("\x1b[2Jden", r"line 3: '\\x1b\[2Jden' is not a variable name"),
        ("a\u202eb", r"line 3: 'a\\u202eb' is not a variable name"),
        ("y" * 1025, r"line 3: 'y{60}' is not a variable name"),
    ],
)
def test_a_line_that_is_no_name(tmp_path: Path, line: str, message: str) -> None:
    content = f"a/x:0\n\n{line}\n"
    with pytest.raises(DamagedFileError, match=rf"names.txt, {message}"):
        layers_of(tmp_path, content)
    with pytest.raises(DamagedFileError, match=rf"names.txt, {message}"):
        operations_of(tmp_path, content)


@pytest.mark.parametrize("line", ["# layer", "# layer  ", "#\tlayer"])
def test_a_layer_without_a_name(tmp_path: Path, line: str) -> None:
    with pytest.raises(DamagedFileError, match=r"names.txt, line 2: a layer annotation without a name"):
        layers_of(tmp_path, f"# bprune-layers 1\n{line}\n")


@pytest.mark.parametrize(
    "line", ["# layer \x1b[2J", "# layer a kind=\x07", "# layer a family=\x1b]0;", "# layer " + "y" * 1025]
)
def test_a_layer_line_that_cannot_be_shown(tmp_path: Path, line: str) -> None:
    with pytest.raises(DamagedFileError, match=r"names.txt, line 1: '.*' is not a name") as caught:
        layers_of(tmp_path, line)
    assert caught.value.message.isprintable()


def test_a_variable_before_any_layer(tmp_path: Path) -> None:
    content = "# bprune-layers 1\nden_0/kernel:0\n# layer den_1\nden_1/kernel:0\n"
    with pytest.raises(DamagedFileError, match=r"names.txt, line 3: the first layer annotation comes after variables"):
        layers_of(tmp_path, content)


@pytest.mark.parametrize("first", ["", "# layer den_1\n"], ids=["plain", "annotated"])
def test_a_variable_twice(tmp_path: Path, first: str) -> None:
    with pytest.raises(DamagedFileError, match=r"the variable 'den_1/kernel' is listed 2 times"):
        layers_of(tmp_path, f"{first}den_1/kernel:0\nden_1/bias:0\nden_1/kernel\n")


@pytest.mark.parametrize(
    "line", ["# role", "# role input", "# role inputs x", "# role Input x", "# role input two words", "# role \x1b x"]
)
def test_a_line_that_is_no_role(tmp_path: Path, line: str) -> None:
    with pytest.raises(DamagedFileError, match=r"names.txt, line 2: '.*' is not a role\nRoles: input, label, .*sample"):
        operations_of(tmp_path, f"x\n{line}\n")


def test_a_role_twice(tmp_path: Path) -> None:
    with pytest.raises(DamagedFileError, match=r"names.txt, line 3: a second 'input'"):
        operations_of(tmp_path, "# role input x\n# role sample s\n# role input x\n")


def test_a_role_that_cannot_be_shown(tmp_path: Path) -> None:
    with pytest.raises(DamagedFileError, match=r"line 1: 'x\\x1b' is not a name"):
        operations_of(tmp_path, "# role input x\x1b")


@pytest.mark.parametrize(
    "content", ["den_1\n".encode("utf-16"), b"den_\xff\n", b"\x80\x04\x95"], ids=["UTF-16", "byte", "pickle"]
)
def test_a_file_that_is_not_text(tmp_path: Path, content: bytes) -> None:
    for read in (layers_of, operations_of):
        with pytest.raises(DamagedFileError, match=r"names.txt is not UTF-8 text: .* at byte \d"):
            read(tmp_path, content)


def test_a_file_that_is_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(names_module, "_LIMIT_BYTES", 2 << 20)
    assert len(operations_of(tmp_path, b"x\n" * (1 << 20)).operations) == 1 << 20
    for read in (layers_of, operations_of):
        with pytest.raises(DamagedFileError, match=r"names.txt is larger than 2 MiB: not a list of names"):
            read(tmp_path, b"x\n" * (1 << 20) + b"y")
