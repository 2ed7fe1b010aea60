"""Metrics of predictions, each with the standard error of finite data and that of finite draws."""

from __future__ import annotations

from bprune.metrics.base import Better, Metric
from bprune.metrics.blocks import BLOCKS
from bprune.metrics.estimate import Estimate
from bprune.metrics.evaluate import evaluate, evaluate_difference, evaluate_pair
from bprune.metrics.predictions import ClassPredictions, Predictions, ValuePredictions
from bprune.metrics.registry import MAIN_METRICS, METRICS, choose_metrics

__all__ = [
    "BLOCKS",
    "MAIN_METRICS",
    "METRICS",
    "Better",
    "ClassPredictions",
    "Estimate",
    "Metric",
    "Predictions",
    "ValuePredictions",
    "choose_metrics",
    "evaluate",
    "evaluate_difference",
    "evaluate_pair",
]
