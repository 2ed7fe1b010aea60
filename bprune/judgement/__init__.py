"""Judgement: what pruning costs, at one sparsity or at many, and how much of it a budget allows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bprune.lazy import lazy_exports

if TYPE_CHECKING:
    from bprune.judgement.budget import DEFAULT_CONFIDENCE, Budget, Limit, budget_of
    from bprune.judgement.compare import Comparison, compare_results
    from bprune.judgement.largest import largest_sparsity
    from bprune.judgement.levels import DEFAULT_SPARSITIES
    from bprune.judgement.measure import DEFAULT_SWEEP_MC_ITERS
    from bprune.judgement.search import Look, Search
    from bprune.judgement.sweep import NOT_LOWERED, Sweep, SweepPoint
    from bprune.judgement.sweep_csv import write_sweep_csv
    from bprune.judgement.sweep_file import read_sweep, write_sweep

__all__ = [
    "DEFAULT_CONFIDENCE",
    "DEFAULT_SPARSITIES",
    "DEFAULT_SWEEP_MC_ITERS",
    "NOT_LOWERED",
    "Budget",
    "Comparison",
    "Limit",
    "Look",
    "Search",
    "Sweep",
    "SweepPoint",
    "budget_of",
    "compare_results",
    "largest_sparsity",
    "read_sweep",
    "write_sweep",
    "write_sweep_csv",
]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "DEFAULT_CONFIDENCE": "bprune.judgement.budget",
        "DEFAULT_SPARSITIES": "bprune.judgement.levels",
        "DEFAULT_SWEEP_MC_ITERS": "bprune.judgement.measure",
        "NOT_LOWERED": "bprune.judgement.sweep",
        "Budget": "bprune.judgement.budget",
        "Comparison": "bprune.judgement.compare",
        "Limit": "bprune.judgement.budget",
        "Look": "bprune.judgement.search",
        "Search": "bprune.judgement.search",
        "Sweep": "bprune.judgement.sweep",
        "SweepPoint": "bprune.judgement.sweep",
        "budget_of": "bprune.judgement.budget",
        "compare_results": "bprune.judgement.compare",
        "largest_sparsity": "bprune.judgement.largest",
        "read_sweep": "bprune.judgement.sweep_file",
        "write_sweep": "bprune.judgement.sweep_file",
        "write_sweep_csv": "bprune.judgement.sweep_csv",
    },
)
