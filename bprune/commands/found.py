"""What a search for a budget found, in a line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["search_line"]

_WORDS = {"accuracy": "drop"}


def search_line(record: Mapping[str, Any]) -> str:
    """A search that found something, as `bprune.judgement.search.Search.record` gives it."""
    looks = [look for look in record["looks"] if look["qualifies"]]
    best = max(looks, key=lambda look: float(look["sparsity"]))
    parts = [
        f"{name} {_WORDS.get(name, 'rise')} {best['worsening'][name]:.4f} here, at most {bound:.4f} in general, "
        f"{record['limits'][name]:g} allowed"
        for name, bound in best["bounds"].items()
    ]
    return (
        f"Largest sparsity within the budget: {record['sparsity']:.4f} ({'; '.join(parts)}; confidence "
        f"{record['confidence']:g}, {len(record['looks'])} looks at the same held-out data)."
    )
