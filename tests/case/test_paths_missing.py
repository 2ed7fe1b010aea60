"""What is missing in a case, or stands elsewhere, is told by name."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bprune.case.paths import find_case
from bprune.errors import AmbiguousCaseError, InputError, MissingFileError
from tests.case.empty_cases import OURS, SUFFIXES, make, save


def test_a_path_that_does_not_exist(tmp_path: Path) -> None:
    make(tmp_path / "digits")
    for wrong in ("digit", "digit/checkout/model-7.ckpt"):
        with pytest.raises(
            MissingFileError, match=rf"{wrong} does not exist\nDid you mean {re.escape(str(tmp_path))}/digits\?"
        ):
            find_case(tmp_path / wrong)
    with pytest.raises(MissingFileError, match=r"digits/model-90.ckpt does not exist\nDid you mean .*/model-900.ckpt"):
        find_case(tmp_path / "digits" / "model-90.ckpt")
    with pytest.raises(MissingFileError, match=r"qqq does not exist\nGive the case directory that holds LayerNames"):
        find_case(tmp_path / "qqq")
    with pytest.raises(FileNotFoundError, match=r"LayerName.txt does not exist\nDid you mean .*LayerNames.txt\?"):
        find_case(tmp_path / "digits" / "LayerName.txt")


def test_a_file_that_is_of_no_case(tmp_path: Path) -> None:
    make(tmp_path / "one")
    make(tmp_path / "two")
    (tmp_path / "results.h5").touch()
    with pytest.raises(
        AmbiguousCaseError, match=r"results.h5 is a file, so that its folder was taken for the case, and .* one, two"
    ):
        find_case(tmp_path / "results.h5")


def test_a_path_below_a_file(tmp_path: Path) -> None:
    root = make(tmp_path / "case")
    with pytest.raises(MissingFileError, match=r"LayerNames.txt/x does not exist"):
        find_case(root / "LayerNames.txt" / "x")


@pytest.mark.parametrize("path", ["a\0b", "\udcff", "x" * 5000, "x/" * 5000])
def test_a_path_that_no_file_can_have(path: str) -> None:
    with pytest.raises(InputError, match=r"does not exist|cannot read"):
        find_case(path)


def test_no_checkpoint(tmp_path: Path) -> None:
    root = tmp_path / "case"
    root.mkdir()
    with pytest.raises(
        MissingFileError, match=r"no checkpoint .* one folder down; found: nothing\nA case holds model-"
    ):
        find_case(root)
    (root / "LayerNames.txt").touch()
    save(root, "model-7.ckpt", suffixes=[".meta"])
    with pytest.raises(MissingFileError, match=r"found: LayerNames.txt, model-7.ckpt.meta\n"):
        find_case(root)
    with pytest.raises(MissingFileError, match="no checkpoint"):
        find_case(root / "model-7.ckpt.meta")


def test_a_checkpoint_two_folders_down(tmp_path: Path) -> None:
    make(tmp_path / "case", below="a/b")
    with pytest.raises(MissingFileError, match=r"or one folder down; found: LayerNames.txt, OpsNames.txt, a\n"):
        find_case(tmp_path / "case")


@pytest.mark.parametrize("suffix", ["", ".meta", ".data-00000-of-00001"])
def test_a_checkpoint_without_an_index(tmp_path: Path, suffix: str) -> None:
    root = make(tmp_path / "case")
    (root / "model-900.ckpt.index").unlink()
    message = r"model-900.ckpt.index is missing: .* is incomplete\nComplete checkpoints there: model-1000.ckpt"
    with pytest.raises(MissingFileError, match=message):
        find_case(root / f"model-900.ckpt{suffix}")


# The MetaGraph


def test_the_meta_of_the_nearest_iteration(tmp_path: Path) -> None:
    root = make(tmp_path / "case", "model-100.ckpt", "model-800.ckpt")
    save(root, *OURS, suffixes=SUFFIXES[:2])
    assert find_case(root).meta.name == "model-800.ckpt.meta"
    assert find_case(root, "900").meta.name == "model-800.ckpt.meta"
    assert find_case(root, "100").meta.name == "model-100.ckpt.meta"


def test_a_meta_whose_checkpoint_is_gone(tmp_path: Path) -> None:
    root = make(tmp_path / "case")
    for name in OURS:
        (root / f"{name}.meta").unlink()
    (root / "graph.meta").touch()
    assert find_case(root).meta.name == "graph.meta"


@pytest.mark.parametrize("loose", [(), ("one.meta", "two.meta")], ids=["none", "two"])
def test_no_meta(tmp_path: Path, loose: tuple[str, ...]) -> None:
    root = make(tmp_path / "case")
    for name in OURS:
        (root / f"{name}.meta").unlink()
    for name in loose:
        (root / name).touch()
    with pytest.raises(
        MissingFileError, match=r"1000.ckpt.meta is missing: .* rebuilt\nBPruneCallback, BPruneHook and"
    ):
        find_case(root)
