"""The engine that runs lowered programs with TensorFlow operations."""

from __future__ import annotations

from bprune.engines.tensorflow.engine import TensorFlowEngine
from bprune.engines.tensorflow.precision import Precision

__all__ = ["Precision", "TensorFlowEngine"]
