"""The MC run: data in, draws and their statistics out."""

from __future__ import annotations

from bprune.inference.data import Dataset, fit_inputs, fit_labels, read_data
from bprune.inference.run import DEFAULT_MC_ITERS, Blocks, Sink, choose_blocks, run_draws
from bprune.inference.score import score_draws
from bprune.inference.statistics import ClassificationSummary, RegressionSummary, Scores

__all__ = [
    "DEFAULT_MC_ITERS",
    "Blocks",
    "ClassificationSummary",
    "Dataset",
    "RegressionSummary",
    "Scores",
    "Sink",
    "choose_blocks",
    "fit_inputs",
    "fit_labels",
    "read_data",
    "run_draws",
    "score_draws",
]
