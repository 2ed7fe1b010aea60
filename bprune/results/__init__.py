"""The results file: HDF5 with the summary of each example, the draws if they are kept, and where they come from."""

from __future__ import annotations

from bprune.results.inference import infer
from bprune.results.members import MemberRecord
from bprune.results.read import Results, open_results
from bprune.results.schema import SCHEMA_VERSION, SNR_QUANTILES, LayerRecord, RunRecord
from bprune.results.write import ResultsWriter

__all__ = [
    "SCHEMA_VERSION",
    "SNR_QUANTILES",
    "LayerRecord",
    "MemberRecord",
    "Results",
    "ResultsWriter",
    "RunRecord",
    "infer",
    "open_results",
]
