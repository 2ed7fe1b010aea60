"""Compilation and its cache: what is kept, that nothing about it can fail, and that imports cost nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

WORK = """
import numpy as np
from bprune.engines.native.kernels import philox_words
out = np.empty(4, np.uint32)
philox_words(out, (np.uint32(0),) * 4, (np.uint32(0),) * 2, 10)
print([f"{word:08x}" for word in out], sum(philox_words.stats.cache_hits.values()))
"""
WORDS = "['6627e8d5', 'e169c58d', 'bc57ac4c', '9b00dbd8']"


def start(code: str, **variables: str | None) -> subprocess.Popen[str]:
    """A Python process in which warnings are errors; a variable that is None is removed."""
    environment = {**os.environ, "NUMBA_CACHE_DIR": None, "XDG_CACHE_HOME": None, **variables}
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", code],
        env={name: value for name, value in environment.items() if value is not None},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> str:
    out, err = process.communicate(timeout=100)
    assert process.returncode == 0, err
    assert err == ""
    return out.strip()


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


@pytest.mark.parametrize("module", ["noise", "sparse"])
def test_numba_is_imported_when_a_kernel_is_needed(module: str) -> None:
    code = f"import bprune.engines.native.{module}, sys; print('numba' in sys.modules, 'tensorflow' in sys.modules)"
    assert finish(start(code)) == "False False"


def test_kernels_are_kept_for_the_next_process(tmp_path: Path) -> None:
    """Below the user's cache, in a folder of their own; four first processes at once do not disturb each other."""
    first = [start(WORK, XDG_CACHE_HOME=str(tmp_path)) for _ in range(4)]
    for process in first:
        assert finish(process).startswith(WORDS)
    (folder,) = (tmp_path / "bprune").iterdir()
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.suffix for path in files(tmp_path)} == {".nbi", ".nbc"}
    assert finish(start(WORK, XDG_CACHE_HOME=str(tmp_path))) == f"{WORDS} 1"

    for path in files(tmp_path):
        path.write_bytes(b"damaged")
    assert finish(start(WORK, XDG_CACHE_HOME=str(tmp_path))) == f"{WORDS} 0"
    assert finish(start(WORK, XDG_CACHE_HOME=str(tmp_path))) == f"{WORDS} 1"


def test_compilation_is_told_and_loading_is_not(tmp_path: Path) -> None:
    """Of kernels, not of the functions that are compiled into them."""
    watched = (
        "from bprune.engines.compilation import watch_compilation\ntold = []\n"
        f"with watch_compilation(told.append):\n    {WORK.strip().replace(chr(10), chr(10) + '    ')}\n"
    )
    code = f"{watched}from bprune.engines.native.jit import ready_kernels\nprint(told, list(ready_kernels()))"
    for told in ("['philox_words', '']", "[]"):
        assert finish(start(code, XDG_CACHE_HOME=str(tmp_path))).splitlines()[1] == f"{told} ['philox_words']"


def test_numbas_own_setting_is_respected_and_left_alone(tmp_path: Path) -> None:
    code = f"import numba\n{WORK}\nprint(numba.config.CACHE_DIR)"
    words, setting = finish(start(code, NUMBA_CACHE_DIR=str(tmp_path / "own"))).splitlines()
    assert (words, setting) == (f"{WORDS} 0", str(tmp_path / "own"))
    assert files(tmp_path / "own" / "bprune")
    assert finish(start("import bprune.engines.native.kernels, numba; print(repr(numba.config.CACHE_DIR))")) == "''"


def test_without_a_folder_that_can_be_written_kernels_are_compiled_every_time(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for _ in range(2):
        assert finish(start(WORK, XDG_CACHE_HOME=str(tmp_path / "file"))) == f"{WORDS} 0"
    assert finish(start(WORK, HOME="/dev/null")) == f"{WORDS} 0"
    assert [path.name for path in files(tmp_path)] == ["file"]


def test_a_folder_of_another_user_is_not_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from bprune.engines.native import jit

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("numba.config.CACHE_DIR", "")
    assert jit.cache_folder.__wrapped__() is not None
    monkeypatch.setattr(os, "getuid", lambda: 12_345)
    assert jit.cache_folder.__wrapped__() is None


def test_there_may_be_no_home(monkeypatch: pytest.MonkeyPatch) -> None:
    from bprune.engines.native import jit

    def fail() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr("numba.config.CACHE_DIR", "")
    monkeypatch.setattr(Path, "home", fail)
    assert jit.cache_folder.__wrapped__() is None


def test_a_relative_folder_for_caches_is_ignored(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As the XDG base directory specification asks for."""
    from bprune.engines.native import jit

    monkeypatch.setenv("XDG_CACHE_HOME", "here")
    monkeypatch.setattr("numba.config.CACHE_DIR", "")
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    folder = jit.cache_folder.__wrapped__()
    assert folder is not None
    assert folder.parent == tmp_path / ".cache" / "bprune"


def test_a_full_disk_is_none_of_a_kernels_business(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from numba.core import caching

    from bprune.engines.native import jit

    def fail(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(jit, "cache_folder", lambda: tmp_path)
    monkeypatch.setattr(caching.IndexDataCacheFile, "_save_index", fail)
    compiled: Callable[[int], int] = jit.kernel(_successor)
    assert compiled(41) == 42
    assert files(tmp_path) == []


def _successor(number: int) -> int:
    return number + 1


def test_the_folder_changes_with_the_kernels_text(monkeypatch: pytest.MonkeyPatch) -> None:
    from bprune.engines.native import jit

    before = jit._fingerprint()
    assert jit._fingerprint() == before
    monkeypatch.setattr(Path, "read_bytes", lambda self: b"other")
    assert jit._fingerprint() != before
