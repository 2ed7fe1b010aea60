"""Engines: what runs draws. All of them keep one contract, `bprune.engines.base.Engine`."""

from __future__ import annotations

from bprune.engines.activations import DEFAULT_ACTIVATION_EXAMPLES, measure_activations
from bprune.engines.base import Draws, Engine, Sampling

__all__ = ["DEFAULT_ACTIVATION_EXAMPLES", "Draws", "Engine", "Sampling", "measure_activations"]
