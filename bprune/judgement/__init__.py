"""Judgement: what pruning costs, at one sparsity or at many, and how much of it a budget allows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bprune.lazy import lazy_exports

if TYPE_CHECKING:
    from bprune.judgement.sweep import NOT_LOWERED, Sweep, SweepPoint
    from bprune.judgement.sweep_csv import write_sweep_csv
    from bprune.judgement.sweep_file import read_sweep, write_sweep

__all__ = ["NOT_LOWERED", "Sweep", "SweepPoint", "read_sweep", "write_sweep", "write_sweep_csv"]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "NOT_LOWERED": "bprune.judgement.sweep",
        "Sweep": "bprune.judgement.sweep",
        "SweepPoint": "bprune.judgement.sweep",
        "read_sweep": "bprune.judgement.sweep_file",
        "write_sweep": "bprune.judgement.sweep_file",
        "write_sweep_csv": "bprune.judgement.sweep_csv",
    },
)
