"""Prune a case: choose masks, check them, write the pruned case."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bprune.case.case import Case, load_case
from bprune.errors import UnsupportedError
from bprune.posterior.posterior import Network
from bprune.posterior.recognise import read_network
from bprune.pruning.counts import Counts, check_no_empty_layer, count_layers, count_total
from bprune.pruning.save import save_pruned_case
from bprune.pruning.threshold import DEFAULT_THRESHOLD, Rule, choose_masks

__all__ = ["Pruned", "prune", "prune_network"]


@dataclass(frozen=True)
class Pruned:
    """What pruning did.

    Attributes:
        case_dir: The pruned case.
        rule: How the weights were chosen.
        layers: Counts per layer, in graph order.
        total: Counts of the network.
    """

    case_dir: Path
    rule: Rule
    layers: tuple[Counts, ...]
    total: Counts


def prune(
    case: Case | str | Path,
    out: str | Path,
    *,
    threshold: float | None = None,
    sparsity: float | None = None,
    layer_thresholds: Mapping[str, float] | None = None,
    allow_empty_layers: bool = False,
    overwrite: bool = False,
) -> Pruned:
    """Prune a case into a new directory.

    Args:
        case: The case, or a path of it.
        out: The directory to create.
        threshold: A weight is pruned when its signal-to-noise ratio is below; default 10.
        sparsity: In place of a threshold: the fraction of all prunable weights to prune, lowest ratios first.
        layer_thresholds: Thresholds of single layers, by layer name.
        allow_empty_layers: Whether a layer may lose all its weights.
        overwrite: Whether a pruned case that is there already is replaced.

    Returns:
        The counts.

    Raises:
        TargetError: If a layer would lose all its weights.
        UnsupportedError: If the network has no prunable weight.
        InputError: If the case cannot be loaded.
        OutputError: If `out` cannot be written.

    Example:
        >>> prune("sample_checkpoints/digits_conv", "digits_conv-pruned", threshold=10).total.sparsity
    """
    loaded = case if isinstance(case, Case) else load_case(case)
    if threshold is None and sparsity is None:
        threshold = DEFAULT_THRESHOLD
    rule = Rule(threshold, sparsity, dict(layer_thresholds or {}))
    return prune_network(
        loaded, read_network(loaded), rule, Path(out), allow_empty_layers=allow_empty_layers, overwrite=overwrite
    )


def prune_network(
    case: Case, network: Network, rule: Rule, out: Path, *, allow_empty_layers: bool = False, overwrite: bool = False
) -> Pruned:
    """Prune a case whose posteriors are read already; see `prune`."""
    if not network.posteriors:
        reasons = "; ".join(f"{item.name}: {item.reason}" for item in network.unrecognised)
        raise UnsupportedError(
            f"the case {case.name} has no weight with a recognised posterior, so there is nothing to prune",
            hint=reasons or None,
        )
    masks = choose_masks(network, rule)
    if not allow_empty_layers:
        check_no_empty_layer(network, masks, rule)
    save_pruned_case(case, network, masks, rule, out, overwrite=overwrite)
    return Pruned(out, rule, count_layers(network, masks), count_total(network, masks))
