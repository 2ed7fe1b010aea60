"""The MC run: data in, draws and their statistics out."""

from __future__ import annotations

from bprune.inference.amount import Amount
from bprune.inference.data import Dataset, fit_inputs, fit_labels, read_data
from bprune.inference.predict import predict, predictions_of
from bprune.inference.run import DEFAULT_MC_ITERS, Blocks, Sink, choose_blocks, run_draws
from bprune.inference.statistics import ClassificationSummary, RegressionSummary

__all__ = [
    "DEFAULT_MC_ITERS",
    "Amount",
    "Blocks",
    "ClassificationSummary",
    "Dataset",
    "RegressionSummary",
    "Sink",
    "choose_blocks",
    "fit_inputs",
    "fit_labels",
    "predict",
    "predictions_of",
    "read_data",
    "run_draws",
]
