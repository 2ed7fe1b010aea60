"""BPrune: inspect, prune and run Bayesian neural networks trained with TensorFlow Probability.

TensorFlow is imported when it is first needed, not with this package.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bprune.lazy import lazy_exports

if TYPE_CHECKING:
    from bprune.case import Case, load_case
    from bprune.judgement.run import sweep
    from bprune.pruning import prune
    from bprune.results import Results, infer, open_results

__all__ = ["Case", "Results", "infer", "load_case", "open_results", "prune", "sweep"]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "Case": "bprune.case",
        "Results": "bprune.results",
        "infer": "bprune.results",
        "load_case": "bprune.case",
        "open_results": "bprune.results",
        "prune": "bprune.pruning",
        "sweep": "bprune.judgement.run",
    },
)
