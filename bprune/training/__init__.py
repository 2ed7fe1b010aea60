"""What a training script imports: the Keras callback, the TensorFlow 1 hook, and `write_case` for custom loops.

TensorFlow is imported when one of the names is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bprune.lazy import lazy_exports

if TYPE_CHECKING:
    from bprune.training.callback import BPruneCallback
    from bprune.training.custom import write_case
    from bprune.training.hook import BPruneHook

__all__ = ["BPruneCallback", "BPruneHook", "write_case"]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "BPruneCallback": "bprune.training.callback",
        "BPruneHook": "bprune.training.hook",
        "write_case": "bprune.training.custom",
    },
)
