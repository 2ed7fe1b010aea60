"""The engine that runs lowered programs on the CPU with compiled kernels."""

from __future__ import annotations

from bprune.engines.native.engine import NativeEngine

__all__ = ["NativeEngine"]
