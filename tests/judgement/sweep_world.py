"""Sweeps with known values: three points of a network with two layers."""

from __future__ import annotations

import math

from bprune.judgement import Sweep, SweepPoint
from bprune.metrics import Estimate

__all__ = ["point", "sweep"]

WEIGHTS = 1000


def point(nonzeros: int, accuracy: float = 0.9, **changes: object) -> SweepPoint:
    """A point whose numbers all differ."""
    share = 1.0 - nonzeros / WEIGHTS
    values = {
        "sparsity": share,
        "threshold": 10.0 * share,
        "nonzeros": nonzeros,
        "weights": WEIGHTS,
        "multiply_adds": 7 * nonzeros,
        "draw_us": 0.5 + 0.001 * nonzeros,
        "metrics": {"accuracy": Estimate(accuracy, 0.01, 0.001), "nll": Estimate(0.3 + share, 0.02, math.nan)},
        "differences": {"accuracy": Estimate(accuracy - 0.9, 0.004, 0.0005), "nll": Estimate(share, 0.01, math.nan)},
        "layer_sparsity": {"den_1": share / 2.0, "den_2": share},
    }
    return SweepPoint(**(values | changes))  # type: ignore[arg-type]


def sweep(**changes: object) -> Sweep:
    """A sweep of three points."""
    values = {
        "case": "toy",
        "criterion": "snr",
        "unit": "SNR (linear)",
        "scope": "global",
        "mc_iters": 40,
        "seed": 3,
        "engine": "native",
        "task": "classification",
        "examples": 50,
        "points": (point(1000), point(500, 0.88), point(100, 0.5, threshold=math.nan)),
        "options": '{"sparsities": [0.0, 0.5, 0.9]}',
        "notes": ("a note \N{GREEK SMALL LETTER MU}",),
        "finished": False,
        "command": "bprune sweep --case-dir toy",
        "created_at": "2026-01-02T03:04:05+00:00",
        "library_version": "0.1.0",
    }
    return Sweep(**(values | changes))  # type: ignore[arg-type]
