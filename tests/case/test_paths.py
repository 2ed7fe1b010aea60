"""Any path that a user may reasonably give leads to the same files; `find_case` reads no content but the state file."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bprune.atomic import TEMPORARY_PREFIX
from bprune.case.paths import CaseFiles, checkpoint_name, find_case
from bprune.errors import AmbiguousCaseError, InputError
from tests.case.empty_cases import OURS, SUFFIXES, make, save

THEIRS = ("model.ckpt-900", "model.ckpt-1000")
ODD_NAMES = ["case", "my case", "[a]*", "case?", "{x,y}", "-case", "café", "model-1.ckpt.d", "a%20b", "~", "'\"$(x)"]

USELESS = {
    "empty": b"",
    "newlines": b"\n" * (1 << 20),
    "spaces": b" " * (1 << 20),
    "keys": b"model_checkpoint_path:\n" * 40_000,
    "backslashes": b'model_checkpoint_path: "' + b"\\" * 1_000_000 + b'"',
    "10 MB": b'model_checkpoint_path: "model-900.ckpt"' + b" " * (10 << 20),
    "no end": b'model_checkpoint_path: "model-900.ckpt',
    "newline": b'model_checkpoint_path: "model-900.ckpt\n"',
    "no quotes": b"model_checkpoint_path: model-900.ckpt\n",
    "NUL behind": b'model_checkpoint_path: "model-900.ckpt\0"',
    "NUL": b'model_checkpoint_path: "\0"',
    "parent": b'model_checkpoint_path: "model-900.ckpt/.."',
    "slash behind": b'model_checkpoint_path: "model-900.ckpt/"',
    "missing iteration": b'model_checkpoint_path: "model-17.ckpt"',
    "no name": b'model_checkpoint_path: ""',
    "bad escapes": b'model_checkpoint_path: "\xff\xfe\\777\\8\\x\\"',
    "a pickle": b"\x80\x04\x95pickle",
    "every byte": bytes(range(256)),
}
"""State files that name no checkpoint of the case; the long ones must not take long either."""


def state(folder: Path, value: str | bytes) -> None:
    """A state file that names a checkpoint."""
    content = value if isinstance(value, bytes) else f'model_checkpoint_path: "{value}"\n'.encode()
    (folder / "checkpoint").write_bytes(content)


def chosen(path: Path | str, checkpoint: str | None = None) -> str:
    return find_case(path, checkpoint).iteration.name


def facts(found: CaseFiles) -> tuple[str, tuple[str, ...], tuple[Path | None, ...]]:
    """What was found, whatever way the path was written."""
    paths = (found.root, found.meta, found.layer_names, found.ops_names, found.heldout, found.pruning)
    names = tuple(item.name for item in found.iterations)
    return found.iteration.name, names, tuple(path and path.resolve() for path in paths)


# The forms of a path


@pytest.mark.parametrize("name", ODD_NAMES)
@pytest.mark.parametrize("below", ["", "checkout", "[b]* c"])
@pytest.mark.parametrize("relative", [False, True], ids=["absolute", "relative"])
def test_every_form(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, below: str, relative: bool) -> None:
    root = make(tmp_path / name, *THEIRS, below=below)
    folder = root / below
    state(folder, "model.ckpt-1000")
    expected = facts(find_case(root))
    assert expected[:2] == ("model.ckpt-1000", THEIRS)
    assert expected[2] == (
        root, folder / "model.ckpt-1000.meta", root / "LayerNames.txt", root / "OpsNames.txt", None, None
    )  # fmt: skip
    forms = [root, folder, root / "LayerNames.txt", root / "OpsNames.txt", folder / "checkpoint"]
    forms += [folder / f"model.ckpt-1000{suffix}" for suffix in ("", *SUFFIXES)]
    monkeypatch.chdir(tmp_path)
    for form in forms:
        path = os.path.relpath(form) if relative else str(form)
        assert facts(find_case(path)) == expected, path
        assert facts(find_case(Path(path))) == expected, path
        if form.is_dir():
            assert facts(find_case(f"{path}/")) == expected, path


@pytest.mark.parametrize("below", ["", "checkout"])
def test_from_inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, below: str) -> None:
    root = make(tmp_path / "case", below=below)
    monkeypatch.chdir(root / below)
    for path in (".", "", "./", "model-1000.ckpt", "model-1000.ckpt.index", f"../{Path.cwd().name}"):
        assert facts(find_case(path)) == facts(find_case(root)), path


@pytest.mark.parametrize("suffix", ["", *SUFFIXES])
def test_a_file_chooses_its_iteration(tmp_path: Path, suffix: str) -> None:
    root = make(tmp_path / "case", below="checkout")
    state(root / "checkout", "model-1000.ckpt")
    found = find_case(root / "checkout" / f"model-900.ckpt{suffix}")
    assert found.iteration.name == "model-900.ckpt"
    assert found.meta == root / "checkout" / "model-900.ckpt.meta"
    assert found.root == root


def test_the_option_is_stronger_than_the_path(tmp_path: Path) -> None:
    assert chosen(make(tmp_path / "case") / "model-1000.ckpt.index", "900") == "model-900.ckpt"


def test_a_folder_of_which_the_checkpoint_has_many_parts(tmp_path: Path) -> None:
    root = make(tmp_path / "case", "model-900.ckpt")
    save(root, "model-1000.ckpt", suffixes=[".index", ".meta", ".data-00000-of-00002", ".data-00001-of-00002"])
    assert chosen(root / "model-1000.ckpt.data-00001-of-00002") == "model-1000.ckpt"


def test_other_files_of_a_case(tmp_path: Path) -> None:
    root = make(tmp_path / "case", below="checkout")
    (root / "heldout.npz").touch()
    (root / "pruning.json").touch()
    found = find_case(root / "heldout.npz")
    assert (found.heldout, found.pruning) == (root / "heldout.npz", root / "pruning.json")
    assert facts(found) == facts(find_case(root / "checkout"))


def test_the_predecessors_operations_file(tmp_path: Path) -> None:
    save(tmp_path / "case" / "checkout", *THEIRS)
    theirs = tmp_path / "case" / "Ops_name_BNN.txt"
    theirs.touch()
    found = find_case(tmp_path / "case" / "checkout")
    assert (found.root, found.ops_names, found.layer_names) == (theirs.parent, theirs, None)
    ours = theirs.with_name("OpsNames.txt")
    ours.touch()
    assert find_case(theirs).ops_names == ours


def test_a_checkpoint_without_names_files(tmp_path: Path) -> None:
    save(tmp_path / "case", *OURS)
    found = find_case(tmp_path / "case")
    assert (found.root, found.layer_names, found.ops_names) == (tmp_path / "case", None, None)


def test_names_files_in_the_checkpoint_folder_come_first(tmp_path: Path) -> None:
    make(tmp_path)
    assert find_case(make(tmp_path / "case")).root == tmp_path / "case"


# --checkpoint


@pytest.mark.parametrize(
    "checkpoint",
    ["900", "model.ckpt-900", *(f"model.ckpt-900{suffix}" for suffix in SUFFIXES), "./checkout/model.ckpt-900.index"],
)
def test_checkpoint_option(tmp_path: Path, checkpoint: str) -> None:
    root = make(tmp_path / "case", *THEIRS, below="checkout")
    assert chosen(root, checkpoint) == "model.ckpt-900"
    assert chosen(root / "checkout", checkpoint) == "model.ckpt-900"


def test_checkpoint_zero(tmp_path: Path) -> None:
    assert chosen(make(tmp_path / "case", "model.ckpt-0", "model.ckpt-10"), "0") == "model.ckpt-0"


def test_a_name_that_is_a_number(tmp_path: Path) -> None:
    root = make(tmp_path / "case", "7", "model-7.ckpt")
    assert chosen(root, "7") == "7"
    assert chosen(root, "model-7.ckpt") == "model-7.ckpt"


def test_checkpoint_that_does_not_exist(tmp_path: Path) -> None:
    root = make(tmp_path / "case")
    with pytest.raises(InputError, match=r"^there is no checkpoint '17'\nThese exist: model-900.ckpt, model-1000.ckpt"):
        find_case(root, "17")
    with pytest.raises(InputError, match=r"no checkpoint 'modl-900.ckpt'\nDid you mean model-900.ckpt\? These exist:"):
        find_case(root, "modl-900.ckpt")
    with pytest.raises(InputError, match=r"no checkpoint 'a\\x00b'"):
        find_case(root, "a\0b")
    with pytest.raises(InputError, match="no checkpoint ''"):
        find_case(root, "")


def test_a_number_that_fits_two(tmp_path: Path) -> None:
    root = make(tmp_path / "case", "mean-7.ckpt", "model-7.ckpt")
    with pytest.raises(
        AmbiguousCaseError, match=r"'7' fits several checkpoints: mean-7.ckpt, model-7.ckpt\nGive the whole name"
    ):
        find_case(root, "7")


# The latest


def test_iterations_are_ordered_by_number(tmp_path: Path) -> None:
    numbers = (2, 10, 9, 100, 11)
    found = find_case(make(tmp_path / "case", *map(checkpoint_name, numbers)))
    assert [item.number for item in found.iterations] == sorted(numbers)
    assert found.iteration.number == 100


@pytest.mark.parametrize(
    ("name", "number"),
    [("model-12.ckpt", 12), ("model.ckpt-12", 12), ("model_12", 12), ("12", 12), ("v2-12", 12), ("cp-0012.ckpt", 12)],
)
def test_numbers_in_names(tmp_path: Path, name: str, number: int) -> None:
    assert find_case(make(tmp_path / "case", name)).iteration.number == number


@pytest.mark.parametrize("name", ["model.ckpt", "model", "model2", "model-12-final"])
def test_a_single_name_without_number(tmp_path: Path, name: str) -> None:
    found = find_case(make(tmp_path / "case", name))
    assert (found.iteration.name, found.iteration.number) == (name, None)


def test_names_without_number(tmp_path: Path) -> None:
    root = make(tmp_path / "case", "first", "second")
    message = r"several checkpoints without an iteration number: first, second\n.*--checkpoint NAME"
    with pytest.raises(AmbiguousCaseError, match=message):
        find_case(root)
    assert chosen(root, "second") == "second"
    assert chosen(root / "first.index") == "first"
    state(root, "second")
    assert chosen(root) == "second"


def test_two_names_of_the_highest_number(tmp_path: Path) -> None:
    root = make(tmp_path / "case", "model-1.ckpt", "mean-7.ckpt", "model-7.ckpt")
    with pytest.raises(AmbiguousCaseError, match="several checkpoints of iteration 7: mean-7.ckpt, model-7.ckpt"):
        find_case(root)


@pytest.mark.parametrize("below", ["", "checkout"])
@pytest.mark.parametrize(
    "value",
    [
        "model-900.ckpt",
        "/scratch/someone/bnn/checkout/model-900.ckpt",
        r"C:\\bnn\\checkout\\model-900.ckpt",
        r"C:\bnn\checkout\model-900.ckpt",
        "hdfs://host/model-900.ckpt",
        "../../../etc/model-900.ckpt",
        "../model-900.ckpt",
        "a\0b/model-900.ckpt",
        r"/home/jos\303\251/model-900.ckpt",
    ],
)
def test_the_state_file_wins(tmp_path: Path, below: str, value: str) -> None:
    root = make(tmp_path / "case", below=below)
    state(root / below, value)
    assert chosen(root) == "model-900.ckpt"


@pytest.mark.parametrize(
    ("name", "written"),
    [("o'brien-9", r"o\'brien-9"), ('say "hi"-9', r"say \"hi\"-9"), ("café-9", r"caf\303\251-9"), ("café-9", "café-9")],
)
def test_names_that_the_state_file_escapes(tmp_path: Path, name: str, written: str) -> None:
    root = make(tmp_path / "case", name, "model-1000.ckpt")
    state(root, f"/somewhere/{written}")
    assert chosen(root) == name


def test_the_state_file_of_tensorflow(tmp_path: Path) -> None:
    root = make(tmp_path / "case")
    state(
        root,
        b'model_checkpoint_path: "model-900.ckpt"\nall_model_checkpoint_paths: "model-900.ckpt"\n'
        b'all_model_checkpoint_paths: "model-1000.ckpt"\nall_model_checkpoint_timestamps: 1.5\n',
    )
    assert chosen(root) == "model-900.ckpt"
    state(root, b'all_model_checkpoint_paths: "model-900.ckpt"\n')
    assert chosen(root) == "model-1000.ckpt"


@pytest.mark.parametrize("content", USELESS.values(), ids=USELESS)
def test_a_state_file_that_says_nothing_of_use(tmp_path: Path, content: bytes) -> None:
    root = make(tmp_path / "case")
    state(root, content)
    start = time.perf_counter()
    assert chosen(root) == "model-1000.ckpt"
    assert time.perf_counter() - start < 5.0


def test_a_state_file_that_is_a_folder(tmp_path: Path) -> None:
    root = make(tmp_path / "case")
    (root / "checkpoint").mkdir()
    assert chosen(root) == "model-1000.ckpt"


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(value=st.binary(max_size=40))
def test_no_state_file_leads_out_of_the_case(tmp_path: Path, value: bytes) -> None:
    root = tmp_path / "case"
    if not root.exists():
        make(root)
    state(root, b'model_checkpoint_path: "' + value + b'"\n')
    assert find_case(root).iteration.prefix.parent == root


# Several folders


def test_several_subfolders(tmp_path: Path) -> None:
    root = make(tmp_path / "case", "model-1.ckpt", below="first")
    save(root / "second", "model-2.ckpt")
    with pytest.raises(AmbiguousCaseError, match=r"checkpoints in several subfolders: first, second\nGive the path"):
        find_case(root)
    found = find_case(root / "second")
    assert (found.iteration.name, found.root) == ("model-2.ckpt", root)


def test_subfolders_without_checkpoints_do_not_count(tmp_path: Path) -> None:
    root = make(tmp_path / "case", below="checkout")
    (root / "plots").mkdir()
    save(root / "logs" / "deeper", "model-1.ckpt")
    assert chosen(root) == "model-1000.ckpt"


def test_checkpoints_of_the_case_itself_come_first(tmp_path: Path) -> None:
    root = make(tmp_path / "case")
    save(root / "old", "model-5000.ckpt")
    assert chosen(root) == "model-1000.ckpt"


def test_what_an_interrupted_writer_left_does_not_count(tmp_path: Path) -> None:
    root = make(tmp_path / "case", below="checkout")
    save(root / f"{TEMPORARY_PREFIX}x", "model-5000.ckpt")
    save(root / "checkout", f"{TEMPORARY_PREFIX}y-5000")
    assert [item.name for item in find_case(root).iterations] == list(OURS)
