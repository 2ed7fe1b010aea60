"""Metrics of predictions, with their standard errors. NumPy and SciPy alone."""

from __future__ import annotations

from bprune.metrics.estimate import Estimate

__all__ = ["Estimate"]
