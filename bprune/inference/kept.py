"""Sinks that keep what comes in memory."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np

from bprune.arrays import AnyArray
from bprune.engines.base import Draws
from bprune.inference.statistics import ClassificationSummary, RegressionSummary

__all__ = ["KeptDraws", "KeptSummaries"]


class KeptSummaries:
    """A sink that drops the draws and joins the summaries.

    Args:
        mc_iters: Draws of each example, where nothing else is said.
    """

    def __init__(self, mc_iters: int) -> None:
        self._mc_iters = mc_iters
        self._parts: list[ClassificationSummary | RegressionSummary] = []
        self._counts: list[AnyArray] = []

    def add(self, start: int, draws_start: int, draws: Draws) -> None:
        """Drop the draws."""

    def add_summary(
        self, start: int, summary: ClassificationSummary | RegressionSummary, *, draws: AnyArray | None = None
    ) -> None:
        """Keep the summary; blocks come in order."""
        self._parts.append(summary)
        self._counts.append(np.full(len(summary.mean), self._mc_iters) if draws is None else draws)

    def summary(self) -> ClassificationSummary | RegressionSummary:
        """The summary of all examples."""
        first = self._parts[0]
        columns: dict[str, Any] = {}
        for item in fields(first):
            values = [getattr(part, item.name) for part in self._parts]
            columns[item.name] = None if values[0] is None else np.concatenate(values)
        return type(first)(**columns)

    def counts(self) -> AnyArray:
        """Number of draws of each example, `[example]`."""
        return np.concatenate(self._counts)


class KeptDraws(KeptSummaries):
    """A sink that keeps the draws as well.

    Args:
        first: The number of the first example.
        examples: Number of examples.
        draws: The numbers of the draws.
    """

    def __init__(self, first: int, examples: int, draws: range) -> None:
        super().__init__(len(draws))
        self._first, self._examples, self._draws = first, examples, draws
        self._arrays: list[AnyArray] = []

    def add(self, start: int, draws_start: int, draws: Draws) -> None:
        """Keep the draws."""
        parts = [draws.values] if draws.scale is None else [draws.values, draws.scale]
        if not self._arrays:
            shape = (len(self._draws), self._examples, draws.values.shape[2])
            self._arrays = [np.empty(shape, np.float32) for _ in parts]
        row, column = draws_start - self._draws.start, start - self._first
        for array, part in zip(self._arrays, parts, strict=True):
            array[row : row + part.shape[0], column : column + part.shape[1]] = part

    def draws(self) -> Draws:
        """All draws, `[draw, example, class or output]`."""
        return Draws(*self._arrays)
