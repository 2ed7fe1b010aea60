"""Data-parallel training: the same script on one process or on many, with the same case at the end.

TensorFlow is imported when one of the names is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bprune.lazy import lazy_exports

if TYPE_CHECKING:
    from bprune.training.distribute.choose import distribute
    from bprune.training.distribute.distribution import Distribution
    from bprune.training.distribute.mode import Mode

__all__ = ["Distribution", "Mode", "distribute"]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "Distribution": "bprune.training.distribute.distribution",
        "Mode": "bprune.training.distribute.mode",
        "distribute": "bprune.training.distribute.choose",
    },
)
