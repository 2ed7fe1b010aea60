"""The weights of a program: fixed numbers, or a posterior that is sampled anew in every draw."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bprune.arrays import AnyArray, BoolArray
from bprune.posterior.families import FAMILIES

__all__ = ["Stream", "Weights"]


@dataclass(frozen=True)
class Stream:
    """Where the noise of a weight tensor comes from.

    The noise of an element is a function of the run's seed, the number of the draw, the stream, and the element's
    original id; never of the order of calls or of what else is computed.

    Attributes:
        posterior: The posterior's name, `layer/part`.
        call: 0 for the first use of the posterior in the network, 1 for the second: a layer that is called twice
            samples twice.
        size: How many elements the posterior had before anything was removed; ids are below.
        units: The size of its last axis then, so that an element's unit is its id modulo `units`; 1 where there are no
            units.
    """

    posterior: str
    call: int
    size: int
    units: int = 1

    @property
    def key(self) -> str:
        """A text that names the stream; it is part of what a seed means and never changes."""
        return f"{self.posterior}#{self.call}"


@dataclass(frozen=True, eq=False)
class Weights:
    """A weight tensor.

    Fixed weights are `loc` alone. Sampled ones are, with standard noise z of the family (see
    `bprune.posterior.families`): Normal and Laplace `loc + scale * z`, LogNormal `exp(loc + scale * z)`.

    Attributes:
        loc: Location, float32, of the tensor's shape.
        scale: Scale, float32, of the same shape; None for fixed weights. It may be negative where a negative factor
            was folded in: the law is that of |scale|, and the draws stay those of the network before.
        family: Name of the family of sampled weights; empty for fixed ones.
        stream: The noise of sampled weights, or None.
        ids: The original id of every element, int32, of the same shape: its position in the posterior's flat tensor
            before anything was removed; or None for fixed weights.

    Raises:
        ValueError: If the parts do not fit together.
    """

    loc: AnyArray
    scale: AnyArray | None = None
    family: str = ""
    stream: Stream | None = None
    ids: AnyArray | None = None

    def __post_init__(self) -> None:
        sampled = [self.scale is not None, bool(self.family), self.stream is not None, self.ids is not None]
        if any(sampled) != all(sampled):
            raise ValueError("sampled weights need scale, family, stream and ids; fixed ones have none of them")
        for item in (self.scale, self.ids):
            if item is not None and item.shape != self.loc.shape:
                raise ValueError(f"weights of the shape {self.loc.shape} have parts of the shape {item.shape}")

    @property
    def is_sampled(self) -> bool:
        """Whether the weights differ between draws."""
        return self.scale is not None

    @property
    def shape(self) -> tuple[int, ...]:
        """The tensor's shape."""
        return self.loc.shape

    @property
    def live(self) -> BoolArray:
        """Where a weight is not exactly 0 in every draw, of the tensor's shape."""
        if self.scale is None:
            return np.asarray(self.loc != 0.0)
        if self.family == "LogNormal":
            return np.asarray(self.loc > FAMILIES[self.family].pruned_loc)
        return np.asarray((self.loc != 0.0) | (self.scale != 0.0))

    @property
    def nonzeros(self) -> int:
        """How many weights are live."""
        return int(np.count_nonzero(self.live))

    def take(self, index: Any) -> Weights:
        """A part of the tensor, by NumPy indexing; also a view such as `(..., None)`."""
        return self._each(lambda item: item[index])

    def reshape(self, *shape: int) -> Weights:
        """The same elements in another shape."""
        return self._each(lambda item: item.reshape(shape))

    def without(self, pruned: BoolArray) -> Weights:
        """Exactly 0 where `pruned`, of the tensor's shape."""
        if self.scale is None:
            return replace(self, loc=np.where(pruned, np.float32(0.0), self.loc))
        zero = np.float32(FAMILIES[self.family].pruned_loc)
        scale = np.where(pruned, np.float32(0.0), self.scale)
        return replace(self, loc=np.where(pruned, zero, self.loc), scale=scale)

    def mean(self) -> Weights:
        """The fixed weights at which all scales are 0 (law 4); not the expectation of a LogNormal."""
        return Weights(np.exp(self.loc) if self.family == "LogNormal" else self.loc)

    def _each(self, view: Any) -> Weights:
        scale = None if self.scale is None else view(self.scale)
        return replace(self, loc=view(self.loc), scale=scale, ids=None if self.ids is None else view(self.ids))
