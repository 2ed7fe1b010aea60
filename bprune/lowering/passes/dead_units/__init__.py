"""The parts of `remove_dead_units`, in the order in which it uses them."""

from __future__ import annotations

__all__: list[str] = []
