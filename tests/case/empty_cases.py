"""Cases of empty files, for tests of what is found where."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

OURS = ("model-900.ckpt", "model-1000.ckpt")
SUFFIXES = (".index", ".data-00000-of-00001", ".meta")


def save(folder: Path, *names: str, suffixes: Iterable[str] = SUFFIXES) -> None:
    """Empty checkpoints."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        for suffix in suffixes:
            (folder / f"{name}{suffix}").touch()


def make(root: Path, *names: str, below: str = "") -> Path:
    """A case of empty files, its checkpoints in a subfolder if `below` says so."""
    save(root / below, *(names or OURS))
    (root / "LayerNames.txt").touch()
    (root / "OpsNames.txt").touch()
    return root
