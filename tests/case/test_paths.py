"""Every path that a user may reasonably give leads to the same files, and what is missing is named."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from bprune.case.paths import CaseFiles, checkpoint_name, find_case
from bprune.errors import AmbiguousCaseError, InputError, MissingFileError

ENDINGS = (".index", ".data-00000-of-00001", ".meta")


def touch(folder: Path, *names: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_bytes(b"")


def checkpoints(folder: Path, *names: str) -> None:
    touch(folder, *(name + ending for name in names for ending in ENDINGS))


def state(folder: Path, name: str) -> None:
    (folder / "checkpoint").write_text(f'model_checkpoint_path: "{name}"\nall_model_checkpoint_paths: "{name}"\n')


@pytest.fixture
def ours(tmp_path: Path) -> Path:
    """Our layout: all files in one folder, with three iterations."""
    case = tmp_path / "runs" / "digits"
    checkpoints(case, "model-100.ckpt", "model-200.ckpt", "model-1400.ckpt")
    touch(case, "LayerNames.txt", "OpsNames.txt", "heldout.npz")
    return case


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    """The predecessor's layout: checkpoints one folder down."""
    case = tmp_path / "runs" / "old"
    checkpoints(case / "checkout", "model.ckpt-0", "model.ckpt-14000")
    touch(case, "LayerNames.txt", "Ops_name_BNN.txt")
    state(case / "checkout", "model.ckpt-14000")
    return case


def same(files: CaseFiles) -> dict[str, object]:
    """What must not depend on how the case was named."""
    paths = {name: getattr(files, name) for name in ("meta", "layer_names", "ops_names", "heldout", "pruning", "root")}
    named = {name: None if path is None else path.resolve() for name, path in paths.items()}
    return {**named, "prefix": files.iteration.prefix.resolve(), "all": [item.name for item in files.iterations]}


# The forms of a path


OUR_FORMS = {
    "case": "",
    "prefix": "model-1400.ckpt",
    "index": "model-1400.ckpt.index",
    "data": "model-1400.ckpt.data-00000-of-00001",
    "meta": "model-1400.ckpt.meta",
    "layer names": "LayerNames.txt",
    "operation names": "OpsNames.txt",
    "held-out data": "heldout.npz",
    "state file": "checkpoint",
    "dots": "../digits",
}


@pytest.mark.parametrize("how", ["absolute", "relative", "text", "slash"])
@pytest.mark.parametrize("form", OUR_FORMS.values(), ids=OUR_FORMS)
def test_forms_of_our_layout(ours: Path, form: str, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    state(ours, "model-1400.ckpt")
    expected = same(find_case(ours))
    assert str(expected["meta"]).endswith("model-1400.ckpt.meta")
    monkeypatch.chdir(ours.parent)
    path = ours / form
    given = {
        "absolute": path,
        "relative": Path(os.path.relpath(path)),
        "text": str(path),
        "slash": f"{path}{os.sep}",
    }[how]
    assert same(find_case(given)) == expected


THEIR_FORMS = {
    "case": "",
    "folder": "checkout",
    "prefix": "checkout/model.ckpt-14000",
    "index": "checkout/model.ckpt-14000.index",
    "data": "checkout/model.ckpt-14000.data-00000-of-00001",
    "meta": "checkout/model.ckpt-14000.meta",
    "state file": "checkout/checkpoint",
    "layer names": "LayerNames.txt",
    "operation names": "Ops_name_BNN.txt",
}


@pytest.mark.parametrize("form", THEIR_FORMS.values(), ids=THEIR_FORMS)
def test_forms_of_the_predecessor(theirs: Path, form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = same(find_case(theirs))
    assert expected["root"] == theirs.resolve()
    assert same(find_case(theirs / form)) == expected
    monkeypatch.chdir(theirs)
    assert same(find_case(form or ".")) == expected
    monkeypatch.chdir(theirs / "checkout")
    assert same(find_case(os.path.relpath(theirs / form))) == expected


def test_the_current_folder_is_a_checkpoint_folder(theirs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(theirs / "checkout")
    files = find_case(".")
    assert files.layer_names is not None
    assert files.layer_names.resolve() == (theirs / "LayerNames.txt").resolve()


@pytest.mark.parametrize("name", ["two words", "a*b", "a?b", "[abc]", "{a}", "~", "naïve 数", "-x", "a.ckpt", "100%"])
def test_odd_folder_names(ours: Path, name: str) -> None:
    moved = ours.rename(ours.with_name(name))
    for form in ("", "model-200.ckpt", "model-200.ckpt.meta"):
        files = find_case(moved / form)
        assert files.root == moved
        assert files.iteration.name == ("model-200.ckpt" if form else "model-1400.ckpt")


@pytest.mark.parametrize("name", ["my model-5", "m*-5", "m[1]-5", "m?-5"])
def test_odd_checkpoint_names(tmp_path: Path, name: str) -> None:
    checkpoints(tmp_path, name, "model-7")
    for path in (tmp_path / name, tmp_path / f"{name}.index"):
        assert find_case(path).iteration.name == name
    assert find_case(tmp_path, name).iteration.number == 5


def test_a_linked_case(ours: Path, tmp_path: Path) -> None:
    link = tmp_path / "latest"
    link.symlink_to(ours, target_is_directory=True)
    assert same(find_case(link)) == same(find_case(ours))


def test_a_linked_checkpoint_folder(theirs: Path, tmp_path: Path) -> None:
    link = tmp_path / "latest"
    link.symlink_to(theirs / "checkout", target_is_directory=True)
    assert same(find_case(link)) == same(find_case(theirs))


def test_names_of_checkpoints() -> None:
    assert checkpoint_name(1400) == "model-1400.ckpt"


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("model-12.ckpt", 12),
        ("model.ckpt-12", 12),
        ("ckpt-12", 12),
        ("model_12", 12),
        ("model.12", 12),
        ("12", 12),
        ("model-0012.ckpt", 12),
        ("model.ckpt", None),
        ("model12", None),
        ("model-12-best", None),
    ],
)
def test_iteration_numbers(tmp_path: Path, name: str, number: int | None) -> None:
    checkpoints(tmp_path, name)
    assert find_case(tmp_path).iteration.number == number


# Which iteration


@pytest.mark.parametrize(
    "choice",
    ["200", "model-200.ckpt", "model-200.ckpt.index", "model-200.ckpt.meta", "model-200.ckpt.data-00000-of-00001"]
    + ["some/where/model-200.ckpt", "C:\\runs\\model-200.ckpt"],
)
def test_choosing_an_iteration(ours: Path, choice: str) -> None:
    files = find_case(ours, choice)
    assert files.iteration.name == "model-200.ckpt"
    assert files.meta.name == "model-200.ckpt.meta"
    assert [item.number for item in files.iterations] == [100, 200, 1400]


@pytest.mark.parametrize("choice", ["300", "", "None", "../model", "model-20.ckpt", "*", "model-200.ckpt\0"])
def test_choosing_what_does_not_exist(ours: Path, choice: str) -> None:
    checkpoints(ours, "best")
    with pytest.raises(InputError, match=r"there is no checkpoint .*\n.*These exist: best, model-100.ckpt, model-200"):
        find_case(ours, choice)


def test_near_misses_of_an_iteration(ours: Path) -> None:
    with pytest.raises(InputError, match=r"there is no checkpoint 'model-1401.ckpt'\nDid you mean model-1400.ckpt\?"):
        find_case(ours, "model-1401.ckpt")


def test_a_number_that_fits_two(ours: Path) -> None:
    checkpoints(ours, "model.ckpt-200")
    with pytest.raises(AmbiguousCaseError, match=r"'200' fits several checkpoints: model-200.ckpt, model.ckpt-200"):
        find_case(ours, "200")
    assert find_case(ours, "model.ckpt-200").iteration.name == "model.ckpt-200"


def test_a_name_that_is_another_ones_number(ours: Path) -> None:
    checkpoints(ours, "200")
    assert find_case(ours, "200").iteration.name == "200"


def test_latest_is_the_highest_number(ours: Path) -> None:
    assert find_case(ours).iteration.number == 1400  # not "model-200.ckpt", the last of the alphabet


def test_latest_of_two_with_the_same_number(ours: Path) -> None:
    checkpoints(ours, "model.ckpt-1400")
    with pytest.raises(
        AmbiguousCaseError, match=r"several checkpoints of iteration 1400: model-1400.ckpt, model.ckpt-"
    ):
        find_case(ours)
    state(ours, "model-1400.ckpt")
    assert find_case(ours).iteration.name == "model-1400.ckpt"


def test_latest_of_several_without_numbers(tmp_path: Path) -> None:
    checkpoints(tmp_path, "best", "last")
    with pytest.raises(
        AmbiguousCaseError, match=r"without an iteration number: best, last\nChoose one with --checkpoint"
    ):
        find_case(tmp_path)
    assert find_case(tmp_path, "last").iteration.name == "last"


@pytest.mark.parametrize(
    "name",
    [
        "model-200.ckpt",
        "/scratch/someone/runs/model-200.ckpt",
        "C:\\\\runs\\\\digits\\\\model-200.ckpt",
        "../../../etc/model-200.ckpt",
        "./model-200.ckpt",
    ],
)
def test_the_state_file_wins(ours: Path, name: str) -> None:
    state(ours, name)
    assert find_case(ours).iteration.prefix == ours / "model-200.ckpt"
    assert find_case(ours, "100").iteration.number == 100  # but not over the user


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b'model_checkpoint_path: "model-999.ckpt"\n',
        b'model_checkpoint_path: "../other/secret-9.ckpt"\n',
        b'model_checkpoint_path: "/etc/passwd"\n',
        b'model_checkpoint_path: ".."\n',
        b'model_checkpoint_path: "model-200.ckpt\0"\n',
        b'model_checkpoint_path: "model-\n200.ckpt"\n',
        b'model_checkpoint_path: "model-200.ckpt\n',
        b'model_checkpoint_path: "\xff\xfe"\n',
        b'# model_checkpoint_path: "model-200.ckpt"\n',
        b"\0" * 4096,
        b'model_checkpoint_path: "' + b"x" * 10_000_000 + b'"\n',
        b'all_model_checkpoint_paths: "x"\n' * 330_000 + b'model_checkpoint_path: "model-200.ckpt"\n',
        b'model_checkpoint_path: "' + b"\\" * 500_001 + b'"\n',
    ],
)
def test_state_files_that_do_not_help(ours: Path, content: bytes) -> None:
    checkpoints(ours.parent / "other", "secret-9.ckpt")
    (ours / "checkpoint").write_bytes(content)
    assert find_case(ours).iteration.prefix == ours / "model-1400.ckpt"


def test_a_state_file_that_is_a_folder(ours: Path) -> None:
    (ours / "checkpoint").mkdir()
    assert find_case(ours).iteration.number == 1400


# Where checkpoints are


def test_several_subfolders(tmp_path: Path) -> None:
    checkpoints(tmp_path / "first", "model-1.ckpt")
    checkpoints(tmp_path / "second", "model-2.ckpt")
    touch(tmp_path, "LayerNames.txt")
    with pytest.raises(AmbiguousCaseError, match=r"in several subfolders: first, second\nGive the path of the one"):
        find_case(tmp_path)
    files = find_case(tmp_path / "second")
    assert files.iteration.number == 2
    assert files.layer_names == tmp_path.resolve() / "LayerNames.txt"


def test_the_case_folder_comes_before_a_subfolder(ours: Path) -> None:
    checkpoints(ours / "older", "model-9999.ckpt")
    assert find_case(ours).iteration.number == 1400


def test_what_an_interrupted_writer_left_is_not_there(ours: Path, tmp_path: Path) -> None:
    checkpoints(ours / ".bprune-x1", "draft")
    checkpoints(tmp_path / "new" / ".bprune-x2", "draft")
    touch(ours, ".bprune-x3.index", ".bprune-x4.meta")
    assert [item.number for item in find_case(ours).iterations] == [100, 200, 1400]
    with pytest.raises(MissingFileError, match=r"no checkpoint \(\*.index\) in .*; found: nothing"):
        find_case(tmp_path / "new")


def test_one_meta_serves_all_iterations(ours: Path) -> None:
    (ours / "model-100.ckpt.meta").unlink()
    (ours / "model-1400.ckpt.meta").unlink()
    assert find_case(ours).meta.name == "model-200.ckpt.meta"
    checkpoints(ours, "model-1300.ckpt")
    assert find_case(ours).meta.name == "model-1300.ckpt.meta"  # the nearest


def test_a_meta_of_another_name(tmp_path: Path) -> None:
    checkpoints(tmp_path, "model-1.ckpt")
    (tmp_path / "model-1.ckpt.meta").rename(tmp_path / "graph.meta")
    touch(tmp_path, ".bprune-abc.meta")
    assert find_case(tmp_path).meta.name == "graph.meta"
    touch(tmp_path, "other.meta")
    with pytest.raises(MissingFileError, match=r"model-1.ckpt.meta is missing: without a MetaGraph"):
        find_case(tmp_path)


# What is missing


def missing_folder(case: Path) -> Path:
    return case.with_name("digist")


def missing_file(case: Path) -> Path:
    return case / "LayerName.txt"


def missing_parent(case: Path) -> Path:
    return case.with_name("digit") / "LayerNames.txt"


@pytest.mark.parametrize(
    ("path", "near"), [(missing_folder, "digits"), (missing_file, "LayerNames.txt"), (missing_parent, "digits")]
)
def test_near_misses_of_a_path(ours: Path, path: Callable[[Path], Path], near: str) -> None:
    with pytest.raises(MissingFileError, match=rf"does not exist\nDid you mean .*{near}\?"):
        find_case(path(ours))


def test_a_prefix_without_its_ending(ours: Path) -> None:
    with pytest.raises(MissingFileError, match=r"model-1400 does not exist\nDid you mean .*model-1400.ckpt.\w+\?"):
        find_case(ours / "model-1400")


def test_a_path_unlike_any_other(ours: Path) -> None:
    with pytest.raises(MissingFileError, match=r"does not exist\nGive the case directory that holds LayerNames.txt"):
        find_case(ours / "zzz" / "qqq")


@pytest.mark.parametrize("ending", [".meta", ".data-00000-of-00001"])
def test_a_checkpoint_without_its_index(ours: Path, ending: str) -> None:
    (ours / "model-200.ckpt.index").unlink()
    for path in (ours / "model-200.ckpt", ours / f"model-200.ckpt{ending}"):
        with pytest.raises(
            MissingFileError, match=r"index is missing: .* incomplete\nComplete .*: model-100.ckpt, model-1"
        ):
            find_case(path)


def test_an_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match=r"found: nothing\nA case holds model-<iteration>.ckpt.index"):
        find_case(tmp_path)


def test_a_folder_of_something_else(tmp_path: Path) -> None:
    touch(tmp_path, *(f"photo{number:02}.jpg" for number in range(30)))
    with pytest.raises(MissingFileError, match=r"found: photo00.jpg, .*photo09.jpg\n"):
        find_case(tmp_path)


def test_an_archive_beside_is_no_checkpoint(tmp_path: Path) -> None:
    checkpoints(tmp_path / "other", "model-1.ckpt")
    touch(tmp_path, "digits.zip")
    with pytest.raises(MissingFileError, match=r"digits does not exist\nDid you mean .*digits.zip"):
        find_case(tmp_path / "digits")


def test_no_meta(ours: Path) -> None:
    for path in ours.glob("*.meta"):
        path.unlink()
    with pytest.raises(MissingFileError, match=r"1400.ckpt.meta is missing.*\nWrite the case with bprune.training"):
        find_case(ours)


def test_no_names(ours: Path) -> None:
    for name in ("LayerNames.txt", "OpsNames.txt", "heldout.npz"):
        (ours / name).unlink()
    files = find_case(ours)
    assert (files.layer_names, files.ops_names, files.heldout, files.pruning) == (None, None, None, None)


def test_our_operation_names_come_before_the_predecessors(ours: Path) -> None:
    touch(ours, "Ops_name_BNN.txt")
    assert find_case(ours).ops_names == ours / "OpsNames.txt"


@pytest.mark.parametrize("path", ["a\0b", "x" * 5000, "/" + "d/" * 2100])
def test_paths_that_cannot_be(path: str) -> None:
    with pytest.raises(InputError, match=r"does not exist|cannot read .*: File name too long"):
        find_case(path)


def test_a_folder_that_may_not_be_read(ours: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(InputError, match=r"cannot read .*digits: Permission denied"):
        find_case(ours)


def test_a_case_that_was_moved(ours: Path, tmp_path: Path) -> None:
    state(ours, str(ours / "model-200.ckpt"))
    moved = tmp_path / "elsewhere"
    shutil.move(ours, moved)
    assert find_case(moved).iteration.prefix == moved / "model-200.ckpt"
