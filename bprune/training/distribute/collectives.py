"""What processes that each hold a whole network ask of the library that connects them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from bprune.arrays import AnyArray

__all__ = ["Collectives"]


class Collectives(ABC):
    """Exchanges among all workers: every worker makes the same calls in the same order.

    Attributes:
        rank: This worker's number, from 0.
        size: How many workers there are.
    """

    rank: int
    size: int

    @abstractmethod
    def average(self, vector: Any) -> Any:
        """The mean over workers of a vector `[element]`, float32 or float64, as an operation of a graph."""

    @abstractmethod
    def from_chief(self, value: AnyArray) -> AnyArray:
        """The chief's value of an array; the others pass one of the same shape and dtype."""

    def take_chiefs(self, variables: Sequence[Any]) -> None:
        """Set variables to the chief's values."""
        for variable in variables:
            variable.assign(self.from_chief(variable.numpy()))

    @abstractmethod
    def gather(self, numbers: Sequence[float]) -> list[list[float]]:
        """The numbers `[rank][item]` of all workers, float64."""
