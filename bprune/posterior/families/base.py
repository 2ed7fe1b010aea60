"""What BPrune needs to know of a family of weight posteriors."""

from __future__ import annotations

from typing import Protocol

from bprune.arrays import Float64Array

__all__ = ["Family"]


class Family(Protocol):
    """A location-scale family q(w) with parameters `loc` and `scale`.

    Attributes:
        name: The family's name, as TFP names its distribution.
        pruned_loc: The `loc` with which, at scale 0, the weight is exactly 0.
    """

    @property
    def name(self) -> str:
        """The family's name, as TFP names its distribution."""
        ...

    @property
    def pruned_loc(self) -> float:
        """The `loc` with which, at scale 0, the weight is exactly 0."""
        ...

    def mean(self, loc: Float64Array, scale: Float64Array) -> Float64Array:
        """E[w], elementwise."""
        ...

    def stddev(self, loc: Float64Array, scale: Float64Array) -> Float64Array:
        """sqrt(Var[w]), elementwise."""
        ...

    def snr(self, loc: Float64Array, scale: Float64Array) -> Float64Array:
        """The signal-to-noise ratio |E[w]| / sqrt(Var[w]), linear, elementwise; computed without overflow."""
        ...
