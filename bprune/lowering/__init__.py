"""Lowering: from the foreign graph to a small program that runs anywhere, and shrinks when pruned."""

from __future__ import annotations

from bprune.lowering.program import Program
from bprune.lowering.weights import Weights

__all__ = ["Program", "Weights"]
