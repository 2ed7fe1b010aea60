"""BPrune: inspect, prune and run Bayesian neural networks trained with TensorFlow Probability.

TensorFlow is imported when it is first needed, not with this package.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bprune.case import Case, load_case
    from bprune.pruning import prune
    from bprune.results import Results, infer, open_results

__all__ = ["Case", "Results", "infer", "load_case", "open_results", "prune"]

_HOMES = {
    "Case": "bprune.case",
    "Results": "bprune.results",
    "infer": "bprune.results",
    "load_case": "bprune.case",
    "open_results": "bprune.results",
    "prune": "bprune.pruning",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("bprune")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
