"""The kernel that turns logits into class probabilities and their running statistics."""

from __future__ import annotations

from typing import Any

import numpy as np

from bprune.engines.native.jit import inlined, kernel
from bprune.engines.native.kernels import _exp, _ln

__all__ = ["softmax_statistics"]

_WIDTH = 64
_f = np.float32


@inlined
def _check(logits: Any, out: Any, sums: Any, squares: Any, examples: Any) -> None:
    fits = logits[0] == examples and logits[1] == (sums[1] if logits[1] != 1 else 1) and sums[1] > 1
    if not (fits and sums[0] == examples and sums == squares and (out == sums or out[0] == 0)):
        raise ValueError("the shapes of logits, probabilities and their sums do not fit together")


@inlined
def _sum_powers(powers: Any, top: Any, total: Any, tilt: Any) -> None:
    """Replace logits, `[class, lane]`, by e^(logit - largest); sum these, and these times logit - largest."""
    top[:] = powers[0]
    for c in range(1, powers.shape[0]):
        for lane in range(_WIDTH):
            top[lane] = powers[c, lane] if powers[c, lane] > top[lane] else top[lane]
    total[:] = 0.0
    tilt[:] = 0.0
    for c in range(powers.shape[0]):
        for lane in range(_WIDTH):
            x = powers[c, lane] - top[lane]
            power = _exp(x)
            total[lane] += power
            tilt[lane] += power * x if power != _f(0.0) else _f(0.0)  # 0 ln 0 = 0
            powers[c, lane] = power


@kernel
def softmax_statistics(logits: Any, out: Any, sums: Any, squares: Any, entropies: Any) -> None:
    """Add one draw's class probabilities to running sums.

    64 examples are worked on side by side, whatever the number of classes. Powers are float32, their sums float64:
    a probability has the relative error 3e-7, and 6e-8 more for each unit by which its logit is below the largest;
    below e^-87 it is 0. Entropies are within 1e-6, absolute. A logit that is NaN or infinite upwards gives NaN.

    Args:
        logits: `[example, class]`, float32; one column alone is the logit of the second of two classes.
        out: `[example, class]`, float32, probabilities, written; or of length 0 if they are not wanted.
        sums: `[example, class]`, float64: the probabilities are added.
        squares: `[example, class]`, float64: their squares are added.
        entropies: `[example]`, float64: the entropies -sum p ln p, in nats, are added.

    Raises:
        ValueError: If the shapes do not fit together.
    """
    examples, classes = sums.shape
    is_single = logits.shape[1] == 1
    _check(logits.shape, out.shape, sums.shape, squares.shape, entropies.size)
    flat_logits, flat_out = logits.reshape(-1), out.reshape(-1)
    flat_sums, flat_squares = sums.reshape(-1), squares.reshape(-1)
    powers, rows = np.zeros((classes, _WIDTH), np.float32), np.empty(_WIDTH * classes, np.float32)
    top, total, tilt = np.empty(_WIDTH, np.float32), np.empty(_WIDTH, np.float64), np.empty(_WIDTH, np.float64)
    scale = np.empty(_WIDTH, np.float32)
    for first in range(0, examples, _WIDTH):
        count = min(_WIDTH, examples - first)
        start, end = first * classes, (first + count) * classes
        if is_single:
            for lane in range(count):
                powers[0, lane], powers[1, lane] = _f(0.0), flat_logits[first + lane]
        else:
            for lane in range(count):
                for c in range(classes):
                    powers[c, lane] = flat_logits[start + lane * classes + c]
        _sum_powers(powers, top, total, tilt)
        for lane in range(_WIDTH):
            scale[lane] = _f(1.0 / total[lane])
            tilt[lane] = _ln(_f(total[lane])) - tilt[lane] / total[lane]
        for lane in range(count):
            entropies[first + lane] += tilt[lane] if not tilt[lane] < 0.0 else 0.0
            for c in range(classes):
                rows[lane * classes + c] = powers[c, lane] * scale[lane]
        for i in range(end - start):
            p = np.float64(rows[i])
            flat_sums[start + i] += p
            flat_squares[start + i] += p * p
        if out.shape[0]:
            flat_out[start:end] = rows[: end - start]
