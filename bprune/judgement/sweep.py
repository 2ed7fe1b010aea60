"""What a sweep found: the metrics of a network at every share of pruned weights, paired with the whole network."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from bprune.errors import UsageError
from bprune.judgement.notebook import sweep_html
from bprune.metrics.estimate import Estimate

__all__ = ["NOT_LOWERED", "Sweep", "SweepPoint"]

NOT_LOWERED = -1
"""In place of a number of multiply-adds where the network runs as a TensorFlow graph."""


@dataclass(frozen=True)
class SweepPoint:
    """A network, pruned once.

    Attributes:
        sparsity: Fraction of the prunable weights that are pruned, in [0, 1].
        threshold: The smallest score that is kept, where all weights with a smaller one are pruned; NaN where there is
            no single threshold (thresholds per layer, or ties).
        nonzeros: Prunable weights that are kept.
        weights: Prunable weights.
        multiply_adds: Multiplications by weights for one example in one draw, after compaction; `NOT_LOWERED` where
            the network was not lowered.
        draw_us: Microseconds per example and draw, median of warm repetitions; NaN where it was not measured.
        metrics: Every metric of the metrics room that applies, by name.
        differences: The same, minus the value of the whole network with the same examples and noise.
        layer_sparsity: Fraction of the weights of every layer that are pruned.

    Raises:
        UsageError: If the counts are impossible, or metrics and differences have different names.
    """

    sparsity: float
    threshold: float
    nonzeros: int
    weights: int
    multiply_adds: int
    draw_us: float
    metrics: Mapping[str, Estimate]
    differences: Mapping[str, Estimate]
    layer_sparsity: Mapping[str, float]

    def __post_init__(self) -> None:
        if not 0 <= self.nonzeros <= self.weights:
            raise UsageError(f"a point has {self.nonzeros} non-zeros of {self.weights} weights")
        if set(self.metrics) != set(self.differences):
            odd = sorted(set(self.metrics) ^ set(self.differences))
            raise UsageError(f"metrics and differences of a point do not have the same names: {', '.join(odd)}")


@dataclass(frozen=True)
class Sweep:
    """Points of one network, and how they were measured.

    Attributes:
        case: Name of the case.
        criterion: Name of the pruning criterion.
        unit: Unit of the thresholds, for tables and axes.
        scope: `global`, where all weights compete, or `layer`, where those of a layer do.
        mc_iters: Draws per example.
        seed: Seed of the noise, the same at all points.
        engine: The engine that ran the draws.
        task: `classification` or `regression`.
        examples: Number of examples.
        points: The points by sparsity; the first is the whole network.
        sampling: How weights are shared between the examples of a draw.
        precision: In which number format products were computed.
        checkpoint_digest: Digest of the checkpoint.
        data_digest: Digest of inputs and labels.
        options: What else decides the points, a JSON object: the grid, for example.
        search: What a search for a budget looked at and found, a JSON object; empty where there was none.
        notes: A sentence for everything that is unusual, such as points that were left out.
        finished: Whether all points are there that were asked for.
        command: The command line, or the Python call.
        created_at: ISO 8601 time, UTC.
        library_version: Version of BPrune.

    Raises:
        UsageError: If there is no point, they are not in order, or they differ in the names of metrics or layers.
    """

    case: str
    criterion: str
    unit: str
    scope: str
    mc_iters: int
    seed: int
    engine: str
    task: str
    examples: int
    points: tuple[SweepPoint, ...]
    sampling: str = ""
    precision: str = "float32"
    checkpoint_digest: str = ""
    data_digest: str = ""
    options: str = "{}"
    search: str = ""
    notes: tuple[str, ...] = field(default=())
    finished: bool = True
    command: str = "bprune.sweep"
    created_at: str = ""
    library_version: str = ""

    def __post_init__(self) -> None:
        if not self.points:
            raise UsageError("a sweep needs at least one point, that of the whole network")
        first = self.points[0]
        kept = [point.nonzeros for point in self.points]
        if kept != sorted(kept, reverse=True):
            raise UsageError("the points of a sweep are not in the order of their sparsity")
        for point in self.points:
            same = set(point.metrics) == set(first.metrics) and list(point.layer_sparsity) == list(first.layer_sparsity)
            if not same or point.weights != first.weights:
                raise UsageError("the points of a sweep do not all have the same metrics, layers and weights")

    @property
    def metric_names(self) -> tuple[str, ...]:
        """The metrics of every point."""
        return tuple(self.points[0].metrics)

    @property
    def layers(self) -> tuple[str, ...]:
        """The layers with prunable weights."""
        return tuple(self.points[0].layer_sparsity)

    def find(self, nonzeros: int) -> SweepPoint | None:
        """The point with this number of weights; masks are nested, so there is one at most."""
        return next((point for point in self.points if point.nonzeros == nonzeros), None)

    def with_point(self, point: SweepPoint) -> Sweep:
        """The same with one more point, or with another in place of that of the same number of weights."""
        others = [item for item in self.points if item.nonzeros != point.nonzeros]
        ordered = sorted([*others, point], key=lambda item: -item.nonzeros)
        return dataclasses.replace(self, points=tuple(ordered))

    @property
    def untimed(self) -> tuple[SweepPoint, ...]:
        """The points whose time was not measured."""
        return tuple(point for point in self.points if math.isnan(point.draw_us))

    def __repr__(self) -> str:
        return f"<Sweep of {self.case}: {self.criterion}, {len(self.points)} points, {self.examples} examples>"

    def _repr_html_(self) -> str:
        return sweep_html(self)
