"""What a training script imports: the Keras callback, the TensorFlow 1 hook, and `write_case` for custom loops.

TensorFlow is imported when one of the names is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bprune.training.callback import BPruneCallback
    from bprune.training.custom import write_case
    from bprune.training.hook import BPruneHook

__all__ = ["BPruneCallback", "BPruneHook", "write_case"]

_HOMES = {
    "BPruneCallback": "bprune.training.callback",
    "BPruneHook": "bprune.training.hook",
    "write_case": "bprune.training.custom",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
