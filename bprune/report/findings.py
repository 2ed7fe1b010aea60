"""What a report tells, as plain values: the case, the pruning, both networks, and what could not be said."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from bprune.arrays import BoolArray
from bprune.case.case import Case
from bprune.engines.choose import Prepared
from bprune.inference.data import Dataset
from bprune.judgement.compare import Comparison
from bprune.judgement.measure import Draws
from bprune.judgement.sweep import Sweep
from bprune.metrics import Estimate
from bprune.posterior.posterior import Network
from bprune.pruning.counts import Counts
from bprune.pruning.record import PruningRecord
from bprune.pruning.threshold import Rule
from bprune.results import Results

__all__ = ["Choice", "Findings", "Side"]


@dataclass(frozen=True, eq=False)
class Choice:
    """Which weights go.

    Attributes:
        rule: How they are chosen; None where the case is told about as it is.
        reason: How the rule came to be, a sentence.
        masks: True where a weight is kept, by posterior name.
        layers: Counts of every layer under the masks.
        total: Counts of the network.
        threshold: The smallest score that is kept; NaN where there is no single one.
    """

    rule: Rule | None
    reason: str
    masks: Mapping[str, BoolArray]
    layers: tuple[Counts, ...]
    total: Counts
    threshold: float


@dataclass(frozen=True, eq=False)
class Side:
    """One of the networks that are compared.

    Attributes:
        name: What tells it apart in words and legends.
        weights: Prunable weights.
        nonzeros: Those that are kept.
        size: The numbers of `bprune.lowering.size.LayerSize` of the program that runs; empty where none does.
        draw_us: Microseconds per example and draw; NaN where that was not measured.
        results: Its predictions; None without data.
        prepared: The engine that draws it; None where its results came from a file of another case.
        metrics: All metrics of its predictions.
    """

    name: str
    weights: int
    nonzeros: int
    size: Mapping[str, int]
    draw_us: float = math.nan
    results: Results | None = None
    prepared: Prepared | None = None
    metrics: Mapping[str, Estimate] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Findings:
    """All that a report tells.

    Attributes:
        case: The case.
        network: Its posteriors.
        record: How the case itself was pruned; None where it was not.
        choice: Which weights go.
        sides: The networks: before and after pruning, or one where there is nothing to compare.
        data: Held-out data; None where none is known.
        draws: How draws were made.
        sweep: What pruning costs at other sparsities; None where it was not measured.
        comparison: What changed; None where there is one network or no data.
        missing: A sentence for everything that could not be told, and what to do about it.
        assumptions: A sentence for everything that was assumed.
        command: The command line, or the Python call.
    """

    case: Case
    network: Network
    record: PruningRecord | None
    choice: Choice
    sides: tuple[Side, ...]
    data: Dataset | None
    draws: Draws
    sweep: Sweep | None
    comparison: Comparison | None
    missing: tuple[str, ...]
    assumptions: tuple[str, ...]
    command: str

    @property
    def last(self) -> Side:
        """The pruned network, or the only one."""
        return self.sides[-1]

    @property
    def results(self) -> tuple[Results, ...]:
        """The predictions of the sides, where they are known for all."""
        known = tuple(side.results for side in self.sides if side.results is not None)
        return known if len(known) == len(self.sides) else ()
