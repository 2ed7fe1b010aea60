"""How results show themselves in a notebook: statistics that are in memory, also when the file is closed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bprune.arrays import AnyArray
from bprune.cells import number, percent
from bprune.html import facts, panel, shown, table
from bprune.inference.statistics import ClassificationSummary, RegressionSummary
from bprune.metrics import MAIN_METRICS, METRICS
from bprune.results.schema import SNR_QUANTILES

if TYPE_CHECKING:
    from bprune.results.read import Results

__all__ = ["results_html"]

_SHARES = (0.05, 0.5, 0.95, 1.0)
_MOST_NUMBERS = 10_000_000
"""The errors of metrics of more predictions, in all blocks together, take seconds."""


@shown
def results_html(results: Results) -> str:
    """Results as HTML: what was run, the layers, the metrics with their errors, the spread of the uncertainty."""
    parts = [facts(results.facts()), _layers(results), _metrics(results), _uncertainty(results)]
    if results.is_closed:
        parts.append("<p>The file is closed: bprune.open_results reads inputs and draws again.</p>")
    return panel(f"Results of {results.run.case}", *parts)


def _layers(results: Results) -> str:
    columns = ["layer", "weights", "kept", "sparsity", *(f"SNR {share:.0%}" for share in _SHARES)]
    rows = []
    for layer in results.layers:
        quantiles = dict(zip(SNR_QUANTILES, layer.snr_quantiles, strict=True))
        cells = [number(quantiles[share]) for share in _SHARES]
        rows.append([layer.name, f"{layer.weights:,}", f"{layer.nonzeros:,}", percent(layer.sparsity), *cells])
    return table(columns, rows)


def _metrics(results: Results) -> str:
    blocks = [item.block_mean for item in results.members or (results.summary,)]
    if sum(item.size for item in blocks if item is not None) > _MOST_NUMBERS:
        return "<p>results.metrics() computes the metrics of so many predictions.</p>"
    known = METRICS[results.task]
    rows = [
        [known[name].title, number(item.value), number(item.data_stderr), number(item.mc_stderr)]
        for name, item in results.metrics(MAIN_METRICS[results.task]).items()
    ]
    return table(["metric", "value", "error of the data", "error of the draws"], rows)


def _uncertainty(results: Results) -> str:
    summary = results.summary
    measures: dict[str, AnyArray]
    if isinstance(summary, ClassificationSummary):
        measures = {
            "predictive entropy, nats": summary.predictive_entropy,
            "expected entropy (noise in the data), nats": summary.expected_entropy,
            "mutual information (doubt of the network), nats": summary.mutual_information,
        }
    else:
        measures = {
            "standard deviation": summary.stddev,
            "of it noise in the data": summary.aleatoric_stddev,
            "of it doubt of the network": summary.epistemic_stddev,
        }
    if results.members:
        split = results.predictions()
        noun = "variance" if isinstance(summary, RegressionSummary) else "mutual information"
        measures |= {f"{noun} within members": split.within_members, f"{noun} between members": split.between_members}
    rows = [
        [name, *(number(float(value)) for value in np.quantile(values, _SHARES))] for name, values in measures.items()
    ]
    return table(["uncertainty of the examples", "5%", "median", "95%", "max"], rows)
