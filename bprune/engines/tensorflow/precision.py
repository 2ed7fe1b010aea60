"""In which number format products are computed."""

from __future__ import annotations

import enum
from collections.abc import Sequence

import numpy as np

from bprune.lowering.ops import Activation, Conv, Dense, DepthwiseConv, Function
from bprune.lowering.program import Program, weights_of
from bprune.lowering.weights import Weights

__all__ = ["Precision", "median_snr", "wide_layers"]

_LARGEST_SNR = 2.0**7


class Precision(str, enum.Enum):
    """The number format of products; everything else is float32."""

    FLOAT32 = "float32"
    """Dense layers and convolutions in float32."""
    BFLOAT16 = "bfloat16"
    """Dense layers and convolutions on bfloat16 inputs and kernels, but for layers where that would show."""


def median_snr(weights: Weights) -> float:
    """The median of |loc| / |scale| of the weights with a scale; infinite where there is none."""
    if weights.scale is None or not np.any(weights.scale):
        return float("inf")
    chosen = weights.scale != 0.0
    return float(np.median(np.abs(weights.loc[chosen]) / np.abs(weights.scale[chosen])))


def wide_layers(program: Program) -> frozenset[str]:
    """The operations whose products stay in float32.

    bfloat16 has 8 significant bits: it rounds away the noise of weights whose SNR is above 2^8, so a layer whose
    median is above 2^7 stays wide. So does the last product before every output, whose logits would be rounded, and
    every product before a sine or cosine: what rounds an angle of 1000 to 8 bits leaves nothing of the sine.
    """
    products = [op for op in program.ops if isinstance(op, (Dense, Conv, DepthwiseConv))]
    snr_wide = {
        op.name for op in products if weights_of(op)["kernel"].is_sampled and median_snr(op.kernel) > _LARGEST_SNR
    }
    return frozenset(snr_wide | _products_before(program, program.outputs, last=True) | _products_of_angles(program))


def _products_of_angles(program: Program) -> set[str]:
    waves = [op for op in program.ops if isinstance(op, Activation) and op.function in {Function.SIN, Function.COS}]
    return _products_before(program, [name for op in waves for name in op.inputs], last=False)


def _products_before(program: Program, tensors: Sequence[str], *, last: bool) -> set[str]:
    """The products that lead to tensors; the last ones alone, or all."""
    found: set[str] = set()
    stack, seen = list(tensors), set(tensors)
    while stack:
        op = program.by_name.get(stack.pop())
        if op is None:
            continue
        if isinstance(op, (Dense, Conv, DepthwiseConv)):
            found.add(op.name)
            if last:
                continue
        fresh = [name for name in op.inputs if name not in seen]
        seen.update(fresh)
        stack.extend(fresh)
    return found
