"""What a search for a budget found, in a line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["search_line"]


def search_line(record: Mapping[str, Any]) -> str:
    """A search that found something, as `bprune.judgement.search.Search.record` gives it."""
    looks = [look for look in record["looks"] if look["qualifies"]]
    best = max(looks, key=lambda look: float(look["sparsity"]))
    parts = [
        f"{name} {'drops' if name == 'accuracy' else 'rises'} by {best['worsening'][name]:.4f} here and by at most "
        f"{bound:.4f} in general, {record['limits'][name]:g} is allowed"
        for name, bound in best["bounds"].items()
    ]
    return (
        f"Largest sparsity within the budget: {record['sparsity']:.4f} ({'; '.join(parts)}; confidence "
        f"{record['confidence']:g}, {len(record['looks'])} looks at the same held-out data)."
    )
