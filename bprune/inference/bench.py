"""How much faster each engine makes the draws of a case than its TensorFlow graph: `bprune bench`.

The baseline is the graph as TFP built it, run once per draw in a TensorFlow session. Everything is timed in one run, in
turns, on the same examples, at several sparsities; the graph is pruned as well, which does not make it faster.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bprune.arrays import AnyArray, BoolArray, Float64Array
from bprune.case.case import Case
from bprune.case.task import Task
from bprune.engines.choose import EngineName, Prepared, prepare_engine
from bprune.engines.machine import Machine, read_machine
from bprune.engines.tensorflow import Precision
from bprune.errors import EngineError, SelfCheckError, UnsupportedError, UsageError
from bprune.inference.progress import Progress, no_progress
from bprune.inference.timing import DrawLoop, median_s, time_in_turns
from bprune.lowering.lower import lower, specialise
from bprune.lowering.program import Program
from bprune.lowering.size import measure
from bprune.metrics.accuracy import ACCURACY
from bprune.metrics.predictions import ClassPredictions, ValuePredictions
from bprune.metrics.rmse import RMSE
from bprune.posterior.posterior import Network
from bprune.pruning.counts import count_layers, count_total
from bprune.pruning.threshold import Rule, choose_masks

__all__ = ["DEFAULT_ROUNDS", "DEFAULT_SPARSITIES", "Bench", "BenchRow", "LeftOut", "Variant", "bench"]

DEFAULT_SPARSITIES = (0.0, 0.8, 0.9, 0.95)
"""The fractions of weights that are pruned."""
DEFAULT_ROUNDS = 5
"""Repetitions of every engine."""

_GRAPH_S = 2.0
"""About how long one repetition of the graph takes, where nobody says how many draws it has."""
_FEWEST_DRAWS, _MOST_DRAWS = 4, 100


@dataclass(frozen=True)
class Variant:
    """An engine that is compared with the graph.

    Attributes:
        engine: TENSORFLOW or NATIVE.
        precision: In which number format products are computed.
    """

    engine: EngineName
    precision: Precision = Precision.FLOAT32


DEFAULT_VARIANTS = (Variant(EngineName.TENSORFLOW), Variant(EngineName.NATIVE))


@dataclass(frozen=True)
class BenchRow:
    """One engine at one sparsity.

    Attributes:
        sparsity: Fraction of the prunable weights that are pruned, in [0, 1].
        engine: The engine's name.
        sampling: How weights are shared between the examples of a draw.
        precision: In which number format products are computed.
        seconds: The time of every repetition.
        us: Microseconds per example and draw, by the median of the repetitions.
        ratio: How many times faster than the graph of the same sparsity, by the medians.
        score: The score of the mean of all draws that were made; None without labels.
        units: Units that are left, by layer; None where the network as a whole is run.
    """

    sparsity: float
    engine: str
    sampling: str
    precision: str
    seconds: tuple[float, ...]
    us: float
    ratio: float
    score: float | None
    units: Mapping[str, int] | None


@dataclass(frozen=True)
class LeftOut:
    """An engine that could not be run.

    Attributes:
        engine: The engine's name.
        sparsity: Where; None for everywhere.
        reason: Why.
    """

    engine: str
    sparsity: float | None
    reason: str


@dataclass(frozen=True)
class Bench:
    """What `bench` found.

    Attributes:
        examples: Examples that were run together.
        draws: Draws of one repetition.
        rounds: Repetitions that were timed, after one to warm up.
        score: What the scores are: `accuracy`, `rmse`, or empty without labels.
        rows: The engines at every sparsity; the graph comes first.
        left_out: Engines that could not be run.
        notes: A sentence for everything that is unusual.
        machine: The machine.
    """

    examples: int
    draws: int
    rounds: int
    score: str
    rows: tuple[BenchRow, ...]
    left_out: tuple[LeftOut, ...]
    notes: tuple[str, ...]
    machine: Machine


def bench(
    case: Case,
    network: Network,
    inputs: AnyArray,
    labels: AnyArray | None = None,
    *,
    sparsities: Sequence[float] = DEFAULT_SPARSITIES,
    variants: Sequence[Variant] = DEFAULT_VARIANTS,
    draws: int | None = None,
    rounds: int = DEFAULT_ROUNDS,
    seed: int = 0,
    progress: Progress = no_progress,
) -> Bench:
    """Time the engines on a case, at several sparsities.

    Args:
        case: The case.
        network: Its posteriors.
        inputs: `[example, ...]`, as the network takes them.
        labels: Class numbers `[example]`, or targets `[example, output]`; None for no score.
        sparsities: Fractions of the prunable weights to prune, lowest signal-to-noise ratio first.
        variants: What is compared with the graph.
        draws: Draws of one repetition, the same for all engines; None for as many as the graph makes in about 2 s, at
            least 4 and at most 100.
        rounds: Repetitions that are timed.
        seed: Seed of the noise.
        progress: Told the share of the work that is done.

    Raises:
        UsageError: If a number is out of range.
        UnsupportedError: If this TensorFlow cannot run the graph.
        EngineError: If the graph fails.
        SelfCheckError: If a value is not finite.

    Example:
        >>> bench(case, network, data.inputs, data.labels, sparsities=[0.9]).rows[-1].ratio
    """
    if rounds < 1 or (draws is not None and draws < 1) or not len(inputs):
        raise UsageError(f"{rounds} repetitions of {draws} draws of {len(inputs)} examples; each must be at least 1")
    work = _Work(case, network, inputs, labels, seed)
    levels, notes = _levels(network, sparsities)
    left_out: list[LeftOut] = []
    try:
        whole = lower(case, network)
    except UnsupportedError as error:
        left_out = [LeftOut(item.engine.value, None, error.message) for item in variants]
        whole, variants, levels = None, (), levels[:1]
    rows: list[BenchRow] = []
    for number, level in enumerate(levels):
        sides = dict(_engines(work, level, variants, left_out))
        draws = draws or _affordable_draws(sides[EngineName.GRAPH.value], inputs)
        rows += _time(
            work,
            level,
            sides,
            whole,
            draws,
            rounds,
            lambda share, done=number: progress((done + share) / len(levels)),
        )
    score = "" if labels is None else "rmse" if case.task is Task.REGRESSION else "accuracy"
    told = tuple(dict.fromkeys(notes))
    return Bench(len(inputs), draws or 0, rounds, score, tuple(rows), tuple(left_out), told, read_machine())


@dataclass(frozen=True, eq=False)
class _Work:
    """What is run."""

    case: Case
    network: Network
    inputs: AnyArray
    labels: AnyArray | None
    seed: int


@dataclass(frozen=True, eq=False)
class _Level:
    """A sparsity, and the masks that have it."""

    sparsity: float
    masks: Mapping[str, BoolArray]


def _levels(network: Network, sparsities: Sequence[float]) -> tuple[list[_Level], list[str]]:
    """The masks of every sparsity; what was pruned before stays pruned."""
    if not network.posteriors:
        return [_Level(0.0, network.masks)], ["no posterior is recognised, so nothing is pruned"]
    levels: dict[float, _Level] = {}
    notes: list[str] = []
    for wanted in sparsities or (0.0,):
        masks = choose_masks(network, Rule(threshold=None, sparsity=wanted))
        found = count_total(network, masks).sparsity
        if found > wanted + 0.5 / max(count_total(network, masks).weights, 1):
            notes.append(f"a sparsity of {wanted:g} is below that of the case, which is pruned already: {found:.4g}")
        empty = [item.name for item in count_layers(network, masks) if item.weights and not item.nonzeros]
        if empty:
            notes.append(f"at a sparsity of {found:.4g} no weight is left in {', '.join(empty)}")
        levels.setdefault(found, _Level(found, masks))
    return [levels[found] for found in sorted(levels)], notes


def _engines(
    work: _Work, level: _Level, variants: Sequence[Variant], left_out: list[LeftOut]
) -> Iterator[tuple[str, Prepared]]:
    """The graph, and the variants that can be run, by a name."""
    graph, name = EngineName.GRAPH, EngineName.GRAPH.value
    yield name, prepare_engine(work.case, work.network, level.masks, seed=work.seed, name=graph)
    for variant in variants:
        try:
            prepared = prepare_engine(
                work.case,
                work.network,
                level.masks,
                seed=work.seed,
                name=variant.engine,
                precision=variant.precision,
            )
        except (UnsupportedError, SelfCheckError, EngineError) as error:
            left_out.append(LeftOut(variant.engine.value, level.sparsity, error.message))
        except ImportError as error:
            left_out.append(LeftOut(variant.engine.value, level.sparsity, f"{error}; see bprune doctor"))
        else:
            yield f"{variant.engine.value} {variant.precision.value}", prepared


def _affordable_draws(graph: Prepared, inputs: AnyArray) -> int:
    """How many draws the graph makes in about `_GRAPH_S`."""
    loop = DrawLoop(graph.engine, inputs, 1)
    loop()
    start = time.perf_counter()
    loop()
    return int(np.clip(_GRAPH_S / max(time.perf_counter() - start, 1e-9), _FEWEST_DRAWS, _MOST_DRAWS))


def _time(
    work: _Work,
    level: _Level,
    sides: Mapping[str, Prepared],
    whole: Program | None,
    draws: int,
    rounds: int,
    progress: Progress,
) -> list[BenchRow]:
    loops = {name: DrawLoop(item.engine, work.inputs, draws) for name, item in sides.items()}
    seconds = time_in_turns(loops, rounds, progress)
    baseline = median_s(seconds[EngineName.GRAPH.value])
    units = _units(specialise(whole, level.masks)) if whole is not None else None
    rows = []
    for name, item in sides.items():
        own = median_s(seconds[name])
        rows.append(
            BenchRow(
                sparsity=level.sparsity,
                engine=item.plan.engine,
                sampling=item.plan.sampling,
                precision=item.plan.precision,
                seconds=seconds[name],
                us=own / len(work.inputs) / draws * 1e6,
                ratio=baseline / own,
                score=_score(loops[name].mean(), work.labels, work.case.task),
                units=None if item.plan.engine == EngineName.GRAPH.value else units,
            )
        )
    return rows


def _units(program: Program) -> dict[str, int]:
    return {layer.layer: layer.units_out for layer in measure(program).layers}


def _score(mean: Float64Array, labels: AnyArray | None, task: Task) -> float | None:
    """Accuracy of the mean of the probabilities, or the root of the mean squared error of the mean prediction."""
    if labels is None:
        return None
    unknown = np.zeros(mean.shape)
    if task is Task.REGRESSION:
        return RMSE.value(ValuePredictions(mean, unknown, unknown), labels)
    return ACCURACY.value(ClassPredictions(mean, unknown[:, 0]), labels)
