"""From an unconstrained training variable to a standard deviation, and what to store for a pruned weight."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bprune.arrays import AnyArray, Float64Array

__all__ = ["PRUNED_UNTRANSFORMED_SCALE", "ScaleTransform"]

PRUNED_UNTRANSFORMED_SCALE = -1.0e4
"""Stored for a pruned weight: finite in every float type, and softplus of it is exactly 0."""


@dataclass(frozen=True)
class ScaleTransform:
    """scale = floor + softplus(gain * untransformed + shift).

    TFP's layers use gain 1, shift 0 and the dtype's epsilon as floor; the DenseVariational of TFP's tutorials uses
    shift log(expm1(1)) and floor 1e-5. All three are read from the graph.
    """

    floor: float
    gain: float = 1.0
    shift: float = 0.0

    def scale(self, untransformed: AnyArray) -> Float64Array:
        """The standard deviations of untransformed scales, elementwise, float64."""
        argument = self.gain * np.asarray(untransformed, np.float64) + self.shift
        return np.asarray(self.floor + np.logaddexp(0.0, argument))

    @property
    def pruned(self) -> float:
        """The untransformed scale that is stored for a pruned weight."""
        return PRUNED_UNTRANSFORMED_SCALE if self.gain > 0 else -PRUNED_UNTRANSFORMED_SCALE

    @property
    def reaches_zero(self) -> bool:
        """Whether the stored value drives softplus to exactly 0 in float32."""
        return self.gain * self.pruned + self.shift < -200.0
