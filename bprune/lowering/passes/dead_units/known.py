"""The constant units of a tensor."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bprune.arrays import BoolArray, Float64Array
from bprune.lowering.shapes import Shape

__all__ = ["Known"]


@dataclass(frozen=True, eq=False)
class Known:
    """The constant units of a tensor.

    Attributes:
        units: Which they are, `[unit]`.
        values: Their values, `[*spatial, constant unit]`, float64: a position counts for itself, because zeros around a
            picture make the border differ from the middle.
    """

    units: BoolArray
    values: Float64Array

    @classmethod
    def nothing(cls, shape: Shape) -> Known:
        """No unit of a tensor is constant."""
        return cls(np.zeros(shape.units, np.bool_), np.zeros((*shape.spatial, 0)))

    @property
    def nonzero(self) -> BoolArray:
        """The constant units that are not 0 everywhere, `[unit]`."""
        found = self.units.copy()
        found[self.units] = self.values.any(axis=tuple(range(self.values.ndim - 1)))
        return found

    def at(self, units: BoolArray) -> Float64Array:
        """The values of some units, `[*spatial, unit]`; 0 of those that are not constant."""
        values = np.zeros((*self.values.shape[:-1], np.count_nonzero(units)))
        values[..., self.units[units]] = self.values[..., units[self.units]]
        return values

    def finite(self) -> Known:
        """Those that float32 can hold; what is infinite is left to the run."""
        if np.abs(self.values).max(initial=0.0) <= np.finfo(np.float32).max:  # false for nan as well
            return self
        good = np.abs(self.values) <= np.finfo(np.float32).max
        units = self.units.copy()
        units[self.units] = good.all(axis=tuple(range(self.values.ndim - 1)))
        return Known(units, self.at(units))
