"""What kind of answer a network gives."""

from __future__ import annotations

import enum

__all__ = ["Task"]


class Task(str, enum.Enum):
    """What a network predicts, and so what its draws and its scores are."""

    CLASSIFICATION = "classification"
    """One class of several: a draw is a probability of each class."""

    REGRESSION = "regression"
    """Numbers: a draw is a predictive mean, and a predictive scale where the network estimates its noise."""
