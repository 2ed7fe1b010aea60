"""Engines: what runs draws. All of them keep one contract, `bprune.engines.base.Engine`."""

from __future__ import annotations

from bprune.engines.base import Draws, Engine, Sampling

__all__ = ["Draws", "Engine", "Sampling"]
