"""A sweep while it runs: its points so far, in memory and in its file.

The file is written anew, whole, with every point, so that a sweep which is killed loses the point that it was at.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from bprune.atomic import check_target
from bprune.errors import InputError, OutputError
from bprune.judgement.sweep import Sweep, SweepPoint
from bprune.judgement.sweep_file import read_sweep, write_sweep

__all__ = ["Record"]

_IDENTITY = {
    "checkpoint_digest": "the checkpoint",
    "data_digest": "the data",
    "criterion": "the criterion",
    "scope": "the scope",
    "mc_iters": "the number of draws",
    "seed": "the seed",
    "engine": "the engine",
    "sampling": "the sampling",
    "precision": "the precision",
    "options": "the grid, or another option",
    "library_version": "the version of BPrune",
}
"""What must be the same where a sweep goes on."""


class Record:
    """The sweep so far, and its file.

    Args:
        out: The file; None for none.
        overwrite: Whether a file that is there is replaced; else the sweep goes on from it.
    """

    def __init__(self, out: Path | None, overwrite: bool) -> None:
        self._out, self._overwrite = out, overwrite
        self.sweep: Sweep | None = None

    def begin(self, header: Mapping[str, Any]) -> None:
        """Take up the points of the file, if there is one.

        Raises:
            OutputError: If it holds something else, or cannot be written.
        """
        if self._out is None:
            return
        if self._out.exists() and not self._overwrite:
            self.sweep = _taken_up(self._out, header)
            self._overwrite = True
        else:
            check_target(self._out, overwrite=self._overwrite)

    def keep(self, header: Mapping[str, Any], *points: SweepPoint, **changes: Any) -> Sweep:
        """Add points, or change what is said of the sweep, and write the file."""
        if self.sweep is None:
            self.sweep = Sweep(points=points, **header)
        for point in points:
            self.sweep = self.sweep.with_point(point)
        self.sweep = replace(self.sweep, **changes)
        if self._out is not None:
            write_sweep(self.sweep, self._out, overwrite=self._overwrite)
            self._overwrite = True
        return self.sweep


def _taken_up(path: Path, header: Mapping[str, Any]) -> Sweep:
    hint = "Choose another name with --out, or pass --overwrite (overwrite=True in Python)."
    try:
        found = read_sweep(path)
    except InputError as error:
        raise OutputError(
            f"{path} exists already and is not a sweep that could go on: {error.message}", hint=hint
        ) from error
    odd = [
        f"{what} ({_short(getattr(found, name))}, not {_short(header[name])})"
        for name, what in _IDENTITY.items()
        if getattr(found, name) != header[name]
    ]
    if odd:
        raise OutputError(
            f"{path} holds another sweep and was left as it is; it differs in {', '.join(odd)}", hint=hint
        )
    return found


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 200 else f"{text[:200]}..."
