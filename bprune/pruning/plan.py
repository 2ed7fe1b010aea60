"""Prune a case: choose masks, check them, write the pruned case."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bprune.arrays import BoolArray
from bprune.case.case import Case, load_case
from bprune.errors import UnsupportedError
from bprune.posterior.posterior import Network
from bprune.posterior.recognise import read_network
from bprune.pruning.counts import Counts, check_no_empty_layer, count_layers, count_total
from bprune.pruning.criteria import Context, find_criterion
from bprune.pruning.notebook import pruned_html
from bprune.pruning.save import save_pruned_case
from bprune.pruning.threshold import Rule, Scope, choose_masks, find_scope

__all__ = ["Plan", "Pruned", "plan_pruning", "prune"]


@dataclass(frozen=True)
class Pruned:
    """What pruning did. It stands for the path of the pruned case wherever a case is asked for.

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

    def __repr__(self) -> str:
        kept = f"{self.total.nonzeros:,} of {self.total.weights:,} weights kept"
        return f"<Pruned case {self.case_dir}: {kept}, sparsity {self.total.sparsity:.3f}>"

    def __fspath__(self) -> str:
        return str(self.case_dir)

    def _repr_html_(self) -> str:
        return pruned_html(self)


def prune(
    case: Case | str | os.PathLike[str],
    out: str | Path,
    *,
    threshold: float | None = None,
    sparsity: float | None = None,
    layer_thresholds: Mapping[str, float] | None = None,
    criterion: str = "snr",
    scope: Scope | str = Scope.GLOBAL,
    context: Context | None = None,
    allow_empty_layers: bool = False,
    overwrite: bool = False,
) -> Pruned:
    """Prune a case into a new directory.

    Args:
        case: The case, or a path of it.
        out: The directory to create.
        threshold: A weight is pruned when its score is below; default: that of the criterion, an SNR of 10.
        sparsity: In place of a threshold: the fraction of the prunable weights to prune, lowest scores first.
        layer_thresholds: Thresholds of single layers, by layer name.
        criterion: Name of the score, one of `bprune.pruning.CRITERIA`.
        scope: `global` or `layer`: whether the sparsity is one of the network or of every layer.
        context: What the criterion needs beside the posteriors: a prior, an inclusion probability, activations.
        allow_empty_layers: Whether a layer may lose all its weights.
        overwrite: Whether a pruned case that is there already is replaced.

    Returns:
        The counts.

    Raises:
        UsageError: If arguments do not go together; see `Rule`.
        TargetError: If a layer would lose all its weights.
        UnsupportedError: If the network has no prunable weight, or one that the criterion cannot score.
        InputError: If the case cannot be loaded.
        OutputError: If `out` cannot be written.

    Example:
        >>> prune("sample_checkpoints/digits_conv", "digits_conv-pruned", threshold=10).total.sparsity
    """
    rule = Rule(
        threshold,
        sparsity,
        dict(layer_thresholds or {}),
        find_criterion(criterion),
        find_scope(scope),
        context if context is not None else Context(),
    )
    loaded = case if isinstance(case, Case) else load_case(case)
    plan = plan_pruning(loaded, read_network(loaded), rule, allow_empty_layers=allow_empty_layers)
    return plan.write(Path(out), overwrite=overwrite)


@dataclass(frozen=True)
class Plan:
    """Masks that were chosen and checked, and not yet written.

    Attributes:
        case: The source.
        network: Its posteriors.
        rule: How the weights were chosen.
        masks: True where a weight is kept, by posterior name.
        search: How the sparsity was found, for the record; None where it was asked for.
    """

    case: Case
    network: Network
    rule: Rule
    masks: Mapping[str, BoolArray]
    search: Mapping[str, object] | None = None

    def write(self, out: Path, *, overwrite: bool = False) -> Pruned:
        """Write the pruned case; see `prune`."""
        save_pruned_case(self.case, self.network, self.masks, self.rule, out, search=self.search, overwrite=overwrite)
        return Pruned(out, self.rule, count_layers(self.network, self.masks), count_total(self.network, self.masks))


def plan_pruning(case: Case, network: Network, rule: Rule, *, allow_empty_layers: bool = False) -> Plan:
    """Choose the masks of a case whose posteriors are read already, and check them; see `prune`."""
    if not network.posteriors:
        reasons = "; ".join(f"{item.name}: {item.reason}" for item in network.unrecognised)
        raise UnsupportedError(
            f"the case {case.name} has no weight with a recognised posterior, so there is nothing to prune",
            hint=reasons or None,
        )
    masks = choose_masks(network, rule)
    if not allow_empty_layers:
        check_no_empty_layer(network, masks, rule)
    return Plan(case, network, rule, masks)
