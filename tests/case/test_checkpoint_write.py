"""Writing checkpoints: whole or not at all."""

from __future__ import annotations

import resource
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bprune.arrays import AnyArray
from bprune.atomic import publish
from bprune.case import checkpoint as module
from bprune.case.bundle_index import index_path
from bprune.case.checkpoint import open_checkpoint, write_checkpoint
from bprune.errors import BPruneError, InputError, OutputError, UnsupportedError
from tests.case.checkpoint_values import VALUES, data, same


def test_existing_checkpoint_is_left_alone(prefix: Path) -> None:
    before = open_checkpoint(prefix).digest()
    with pytest.raises(OutputError, match=r"model-7.ckpt.index exists already"):
        write_checkpoint(prefix, {"loc": np.ones(3)})
    assert open_checkpoint(prefix).digest() == before
    write_checkpoint(prefix, {"loc": np.ones(3)}, overwrite=True)
    assert list(open_checkpoint(prefix).entries) == ["loc"]
    assert len(list(prefix.parent.iterdir())) == 2


def test_rest_of_an_interrupted_writer_is_replaced(prefix: Path) -> None:
    index_path(prefix).unlink()
    data(prefix).write_bytes(b"half of it")
    write_checkpoint(prefix, VALUES)
    assert same(open_checkpoint(prefix).read_all(), VALUES)


@pytest.mark.parametrize("limit_bytes", [0, 100, 1200, 1300])
def test_full_disk(tmp_path: Path, limit_bytes: int) -> None:
    """Files may not grow beyond the limit: the data file (1,268 bytes) fails first; then nothing does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, hard))
    try:
        if limit_bytes < 1268:
            with pytest.raises(OutputError, match=r"cannot write .*: .*File too large"):
                write_checkpoint(tmp_path / "m", VALUES)
            assert list(tmp_path.iterdir()) == []
        else:
            write_checkpoint(tmp_path / "m", VALUES)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("failing", [1, 2])
def test_failing_rename_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: int) -> None:
    calls: list[Path] = []

    def failing_publish(temporary: Path, target: Path, **options: Any) -> None:
        assert target.suffix == ".index" or not (tmp_path / "m.index").exists()
        calls.append(target)
        if len(calls) == failing:
            raise OSError(5, "Input/output error")
        publish(temporary, target, **options)

    monkeypatch.setattr(module, "publish", failing_publish)
    with pytest.raises(OutputError, match=r"cannot write .*: Input/output error"):
        write_checkpoint(tmp_path / "m", VALUES)
    assert list(tmp_path.iterdir()) == []
    assert calls == [data(tmp_path / "m"), index_path(tmp_path / "m")][:failing]


def test_interrupted_save_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(draft: Path, *rest: Any) -> None:
        data(draft).write_bytes(b"x")
        raise KeyboardInterrupt("here")

    monkeypatch.setattr(module, "_save", interrupted)
    with pytest.raises(KeyboardInterrupt, match="here"):
        write_checkpoint(tmp_path / "m", VALUES)
    assert list(tmp_path.iterdir()) == []


def test_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"cannot write .*nowhere/m: No such file or directory"):
        write_checkpoint(tmp_path / "nowhere" / "m", VALUES)


@pytest.mark.parametrize(
    ("values", "error", "match"),
    [
        ({}, InputError, "at least one tensor"),
        ({"": np.ones(2)}, InputError, "'' cannot be a tensor's name"),
        ({"a\nb": np.ones(2)}, InputError, "cannot be a tensor's name"),
        ({"é" * 513: np.ones(2)}, InputError, "cannot be a tensor's name"),
        ({"a": np.ones((1,) * 9)}, InputError, "'a' has 9 dimensions; at most 8"),
        ({"a": np.array(["text"])}, UnsupportedError, "'a' has dtype <U4"),
        ({"a": np.array([None])}, UnsupportedError, "'a' has dtype object"),
    ],
)
def test_values_that_cannot_be_stored(
    tmp_path: Path, values: dict[str, AnyArray], error: type[BPruneError], match: str
) -> None:
    with pytest.raises(error, match=match):
        write_checkpoint(tmp_path / "m", values)
    assert list(tmp_path.iterdir()) == []
