"""How the posteriors of a network show themselves in a notebook."""

from __future__ import annotations

from collections.abc import Sequence

from bprune.cells import number, percent
from bprune.html import panel, shown, table
from bprune.posterior.posterior import Network, Posterior
from bprune.posterior.snr import SNR_QUANTILES, summarise_snr

__all__ = ["network_html"]

_QUANTILES = {0.05: "SNR 5%", 0.5: "median", 0.95: "95%", 1.0: "max"}
_NOISY = 1.0
_MOST_WEIGHTS = 5_000_000
"""Quantiles of more weights take seconds."""


@shown
def network_html(network: Network) -> str:
    """The posteriors as HTML: kinds, shapes and quantiles of the signal-to-noise ratio."""
    weights = sum(posterior.size for posterior in network.posteriors)
    with_snr = weights <= _MOST_WEIGHTS
    columns = ["tensor", "kind", "family", "shape", "weights", "kept"]
    columns += [*_QUANTILES.values(), f"SNR < {_NOISY:g}"] if with_snr else []
    rows = [
        [item.name, item.kind, item.family.name, "x".join(map(str, item.shape)), *_cells([item], with_snr)]
        for item in network.posteriors
    ]
    if network.posteriors:
        rows.append(["all", "", "", "", *_cells(network.posteriors, with_snr)])
    parts = [table(columns, rows, text_columns=4)]
    if not with_snr:
        parts.append(
            "<p>bprune.posterior.summarise_snr(network.posteriors, 1.0) measures the SNR of so many weights.</p>"
        )
    if network.unrecognised:
        reasons = [[item.name, item.reason] for item in network.unrecognised]
        parts.append(table(["not prunable", "why"], reasons, text_columns=2))
    return panel(f"Network: {len(network.layers)} layers with {weights:,} prunable weights", *parts)


def _cells(posteriors: Sequence[Posterior], with_snr: bool) -> list[str]:
    if not with_snr:
        size, kept = sum(item.size for item in posteriors), sum(int(item.mask.sum()) for item in posteriors)
        return [f"{size:,}", f"{kept:,}"]
    found = summarise_snr(posteriors, _NOISY)
    quantiles = dict(zip(SNR_QUANTILES, found.quantiles, strict=True))
    shown_quantiles = [number(quantiles[share]) for share in _QUANTILES]
    return [f"{found.weights:,}", f"{found.kept:,}", *shown_quantiles, percent(found.below)]
