"""One point of a sweep: run the draws of a pruned network, and compare its metrics with those of the whole one.

All points have the same seed. Noise is keyed by draw and weight (law 7), so that a weight which two networks keep has
the same noise in both, and what it does to both cancels in their difference.
"""

from __future__ import annotations

import gc
import hashlib
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from bprune.arrays import BoolArray
from bprune.case.case import Case
from bprune.engines.base import Engine, Sampling
from bprune.engines.choose import EngineName, Prepared, prepare_engine
from bprune.engines.tensorflow import Precision
from bprune.errors import UsageError
from bprune.inference.amount import Amount
from bprune.inference.antithetic import check_pairs, pair_draws
from bprune.inference.data import Dataset
from bprune.inference.predict import predict
from bprune.inference.progress import Progress, no_progress
from bprune.inference.timing import DrawLoop, median_s
from bprune.judgement.levels import Level
from bprune.judgement.sweep import NOT_LOWERED, SweepPoint
from bprune.metrics import BLOCKS, Estimate, Predictions, evaluate, evaluate_difference
from bprune.posterior.posterior import Network
from bprune.scale.workers import Workers

__all__ = ["DEFAULT_SWEEP_MC_ITERS", "Draws", "Study", "data_digest", "measure_level", "prepare_draws", "time_draws"]

DEFAULT_SWEEP_MC_ITERS = 100
"""Draws per example of a sweep. Differences are paired, so that their MC error is well below that of a few thousand
examples with 100 draws; every point tells both."""

_TIMED_EXAMPLES = 512
_TIMED_S = 0.1
_MOST_TIMED_DRAWS = 100
_ROUNDS = 5


@dataclass(frozen=True)
class Draws:
    """How draws are made, the same at every point.

    Attributes:
        mc_iters: Draws per example.
        seed: Seed of the noise.
        engine: Which engine.
        sampling: How weights are shared between examples; None takes what the engine does.
        precision: In which number format products are computed.
        batch_size: Examples that are run together; None chooses.
        antithetic: Whether draws are pairs of opposite noise.

    Raises:
        UsageError: If the number of draws is not at least 1, or pairs do not go with it or with the engine.
    """

    mc_iters: int = DEFAULT_SWEEP_MC_ITERS
    seed: int = 0
    engine: EngineName | str = EngineName.AUTO
    sampling: Sampling | str | None = None
    precision: Precision | str = Precision.FLOAT32
    batch_size: int | None = None
    antithetic: bool = False

    def __post_init__(self) -> None:
        if self.mc_iters < 1:
            raise UsageError(f"the number of draws is {self.mc_iters}; at least 1 is needed")
        if self.antithetic:
            check_pairs(self.engine, self.mc_iters)

    @property
    def amount(self) -> Amount:
        """How many draws, none of them stored."""
        return Amount(self.mc_iters, None, self.antithetic, self.batch_size)

    @property
    def blocks(self) -> int:
        """How many blocks of draws MC standard errors come from."""
        return min(BLOCKS, self.mc_iters // 2 if self.antithetic else self.mc_iters)


@dataclass(frozen=True, eq=False)
class Study:
    """What all points of a sweep have in common.

    Attributes:
        case: The case.
        network: Its posteriors.
        data: Examples, as the network takes them.
        draws: How draws are made.
        reference: The predictions of the whole network; None until they are known.
    """

    case: Case
    network: Network
    data: Dataset
    draws: Draws
    reference: Predictions | None = None

    def prepare(self, level: Level) -> Prepared:
        """The engine of a pruning."""
        return prepare_draws(self.case, self.network, level.masks, self.draws)

    def predict(
        self, prepared: Prepared, progress: Progress = no_progress, workers: Workers | None = None
    ) -> Predictions:
        """All draws of all examples."""
        amount = self.draws.amount
        return predict(prepared, self.data.inputs, self.data.labels, amount, workers=workers, progress=progress)


def prepare_draws(case: Case, network: Network, masks: Mapping[str, BoolArray], draws: Draws) -> Prepared:
    """The engine of a pruned network; see `bprune.engines.choose.prepare_engine`."""
    prepared = prepare_engine(
        case,
        network,
        masks,
        seed=draws.seed,
        name=draws.engine,
        sampling=draws.sampling,
        precision=draws.precision,
    )
    return pair_draws(prepared) if draws.antithetic else prepared


def measure_level(study: Study, level: Level, size: Mapping[str, int], predictions: Predictions) -> SweepPoint:
    """The point of some predictions, without a time.

    Args:
        study: What all points have in common.
        level: The network.
        size: The numbers of `bprune.engines.plan.Plan.after`.
        predictions: What the network predicts.
    """
    labels = study.data.labels
    metrics = evaluate(predictions, labels)
    differences = dict.fromkeys(metrics, Estimate(0.0, 0.0, 0.0))  # the whole network from itself: certainly nothing
    if study.reference is not None:
        differences = evaluate_difference(study.reference, predictions, labels)
    names = [name for name in metrics if name in differences]
    return SweepPoint(
        sparsity=level.total.sparsity,
        threshold=level.threshold,
        nonzeros=level.total.nonzeros,
        weights=level.total.weights,
        multiply_adds=size.get("multiply_adds", NOT_LOWERED),
        draw_us=math.nan,
        metrics={name: metrics[name] for name in names},
        differences={name: differences[name] for name in names},
        layer_sparsity={item.name: item.sparsity for item in level.layers},
    )


def time_draws(engine: Engine, data: Dataset) -> float:
    """Microseconds per example and draw: the median of warm repetitions, of the first 512 examples."""
    inputs = data.inputs[:_TIMED_EXAMPLES]
    once = DrawLoop(engine, inputs, 1)
    once()
    draws = int(np.clip(_TIMED_S / max(_seconds(once), 1e-9), 1, _MOST_TIMED_DRAWS))
    loop = DrawLoop(engine, inputs, draws)
    gc.collect()  # not in the middle of a repetition
    loop()
    return median_s(tuple(_seconds(loop) for _ in range(_ROUNDS))) / len(inputs) / draws * 1e6


def _seconds(loop: DrawLoop) -> float:
    start = time.perf_counter()
    loop()
    return time.perf_counter() - start


def data_digest(data: Dataset) -> str:
    """A digest of inputs and labels, as the network takes them."""
    digest = hashlib.sha256()
    for array in (data.inputs, data.labels):
        if array is not None:
            digest.update(f"{array.dtype.str} {array.shape}".encode())
            digest.update(np.ascontiguousarray(array).data)
    return "sha256:" + digest.hexdigest()
