"""Files and directories appear whole or not at all."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from bprune.atomic import whole_directory, whole_file, write_bytes, write_text
from bprune.errors import OutputError


def test_a_file_appears_when_the_body_ends(tmp_path: Path) -> None:
    with whole_file(tmp_path / "out.bin") as path:
        path.write_bytes(b"half")
        assert not (tmp_path / "out.bin").exists()
    assert (tmp_path / "out.bin").read_bytes() == b"half"
    assert [item.name for item in tmp_path.iterdir()] == ["out.bin"]


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt("stop")])
def test_an_error_leaves_nothing(tmp_path: Path, error: BaseException) -> None:
    with pytest.raises(type(error), match="no|stop"), whole_file(tmp_path / "out.bin") as path:
        path.write_bytes(b"half")
        raise error
    with pytest.raises(type(error), match="no|stop"), whole_directory(tmp_path / "out") as folder:
        (folder / "a").write_bytes(b"half")
        raise error
    assert list(tmp_path.iterdir()) == []


def test_an_existing_file_is_kept_unless_told_otherwise(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "old")
    with pytest.raises(OutputError, match=r"a\.txt exists already and was left as it is\n.*--overwrite"):
        write_text(tmp_path / "a.txt", "new")
    assert (tmp_path / "a.txt").read_text() == "old"
    write_text(tmp_path / "a.txt", "new", overwrite=True)
    assert (tmp_path / "a.txt").read_text() == "new"


def test_a_file_that_appears_meanwhile_is_kept(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="exists already"), whole_file(tmp_path / "a.txt") as path:
        path.write_text("mine")
        (tmp_path / "a.txt").write_text("another process was faster")
    assert (tmp_path / "a.txt").read_text() == "another process was faster"
    assert len(list(tmp_path.iterdir())) == 1


def test_an_error_while_replacing_keeps_the_old_directory(tmp_path: Path) -> None:
    with whole_directory(tmp_path / "out") as folder:
        (folder / "a").write_text("old")
    with pytest.raises(ValueError, match="no"), whole_directory(tmp_path / "out", overwrite=True) as folder:
        (folder / "a").write_text("new")
        raise ValueError("no")
    assert (tmp_path / "out" / "a").read_text() == "old"
    with whole_directory(tmp_path / "out", overwrite=True) as folder:
        (folder / "b").write_text("new")
    assert [item.name for item in (tmp_path / "out").iterdir()] == ["b"]
    assert [item.name for item in tmp_path.iterdir()] == ["out"]


def test_a_link_keeps_pointing_where_it_pointed(tmp_path: Path) -> None:
    (tmp_path / "real.txt").write_text("old")
    (tmp_path / "link.txt").symlink_to("real.txt")
    write_text(tmp_path / "link.txt", "new", overwrite=True)
    assert (tmp_path / "link.txt").is_symlink()
    assert (tmp_path / "real.txt").read_text() == "new"


def test_the_mode_is_that_of_an_ordinary_file(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_bytes(tmp_path / "a", b"")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o640


def test_a_missing_folder_is_an_output_error(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot write .*No such file or directory"):
        write_bytes(tmp_path / "nowhere" / "a", b"")
