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

    def expected_magnitude(self, loc: Float64Array, scale: Float64Array) -> Float64Array:
        """E|w|, elementwise."""
        ...

    def log_wrong_sign(self, loc: Float64Array, scale: Float64Array) -> Float64Array:
        """ln P(sign(w) != sign(E[w])), elementwise, ln(1/2) at most; precise far below where the probability is 0."""
        ...

    def log_density_at_zero(self, loc: Float64Array, scale: Float64Array) -> Float64Array:
        """ln q(0), elementwise."""
        ...

    def entropy(self, loc: Float64Array, scale: Float64Array) -> Float64Array:
        """-E[ln q(w)] in nats, elementwise."""
        ...
