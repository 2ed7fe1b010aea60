"""Whether the lowered program is the network of the graph: laws 4, 5 and 6 of DESIGN, on a user's own case and data.

Labels play no part here, so this takes inputs that fit the network already, as an engine does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from bprune.arrays import AnyArray, BoolArray
from bprune.case.case import Case
from bprune.case.output import Output
from bprune.engines.base import Draws, Engine
from bprune.engines.check import LARGEST_ERROR, check_lowering
from bprune.engines.choose import EngineName
from bprune.engines.tensorflow import Precision, TensorFlowEngine
from bprune.errors import SelfCheckError, UsageError
from bprune.inference.agreement import DEFAULT_FALSE_ALARM, Agreement, compare_laws
from bprune.inference.progress import Progress, no_progress
from bprune.inference.run import choose_blocks, run_draws
from bprune.inference.same_draws import Difference, compare_draws
from bprune.inference.statistics import ClassificationSummary, RegressionSummary
from bprune.lowering.lower import lower, specialise
from bprune.lowering.program import Program
from bprune.lowering.size import SizeComparison, compare_sizes
from bprune.posterior.posterior import Network

__all__ = ["DEFAULT_VERIFY_DRAWS", "Verification", "ZeroScale", "verify", "verify_program"]

DEFAULT_VERIFY_DRAWS = 1000
"""Draws per engine: what they find is told with the verdict, and takes seconds on a small network."""

_SAME_DRAWS = 16
_SLACK = {Precision.FLOAT32: 1e-5, Precision.BFLOAT16: 1e-2}
"""How far rounding may move a value, relative to the size of the example's values, before it counts as evidence."""
_SAME = {Precision.FLOAT32: 1e-4, Precision.BFLOAT16: 5e-2}
"""How far the same draw may be off when its sums run in another order."""


@dataclass(frozen=True)
class ZeroScale:
    """Program and graph with all scales 0 (law 4).

    Attributes:
        error: The largest difference in units of the largest output; None where it is too large or there is none.
        tolerance: The largest difference that is allowed.
        reason: What is wrong; empty where nothing is.
    """

    error: float | None
    tolerance: float
    reason: str = ""

    @property
    def within(self) -> bool:
        """Whether program and graph are the same up to the tolerance."""
        return not self.reason


@dataclass(frozen=True)
class Verification:
    """What `verify` found.

    Attributes:
        engine: The name of the program engine.
        precision: In which number format its products were computed.
        sizes: The whole program and the pruned and compacted one.
        zero_scale: Law 4: the whole and the compacted program equal the graph where no scale is left.
        same_draws: Law 6: the compacted program equals the masked one in the same draws.
        laws: Law 5: the compacted program draws from the graph's laws.
    """

    engine: str
    precision: Precision
    sizes: SizeComparison
    zero_scale: ZeroScale
    same_draws: Difference
    laws: Agreement

    @property
    def failures(self) -> tuple[str, ...]:
        """A sentence for each law that does not hold; empty where all hold."""
        found = []
        if not self.zero_scale.within:
            found.append(f"law 4 (no noise, same output) fails: {self.zero_scale.reason}")
        if not self.laws.agrees:
            worst = self.laws.worst
            found.append(
                f"law 5 (same law per example) fails: {worst.describe()} in graph and program, "
                f"p = {worst.p_value:.2g}, below {self.laws.level:.2g}"
            )
        if not self.same_draws.within:
            item = self.same_draws
            found.append(
                f"law 6 (compacted equals masked) fails: draw {item.draw} of example {item.example}, output "
                f"{item.output} differs by {item.error:.2g}, {item.tolerance:g} is allowed"
            )
        return tuple(found)

    @property
    def holds(self) -> bool:
        """Whether all laws hold."""
        return not self.failures


def verify(
    case: Case,
    network: Network,
    masks: Mapping[str, BoolArray],
    oracle: Engine,
    inputs: AnyArray,
    *,
    mc_iters: int = DEFAULT_VERIFY_DRAWS,
    seed: int = 0,
    precision: Precision = Precision.FLOAT32,
    engine: EngineName = EngineName.TENSORFLOW,
    false_alarm: float = DEFAULT_FALSE_ALARM,
    progress: Progress = no_progress,
) -> Verification:
    """Lower a case and compare the program with the graph.

    Args:
        case: The case.
        network: Its posteriors.
        masks: True where a weight is kept, by posterior name.
        oracle: The graph engine of the case with the same masks.
        inputs: `[example, ...]`, as the network takes them.
        mc_iters: Draws of each engine, at least 100.
        seed: Seed of the program's noise.
        precision: In which number format the program may compute products.
        engine: Which engine runs the program: TENSORFLOW or NATIVE.
        false_alarm: The probability, at most, that law 5 is found broken although it holds.
        progress: Told the share of the draws that are done.

    Raises:
        NotLoweredError: If the network cannot be lowered; the message says why.
        UsageError: If a number is out of range.
        EngineError: If one of the engines cannot be run.
        SelfCheckError: If a program is not legal, or a value is not finite.

    Example:
        >>> verify(case, network, network.masks, GraphEngine(case, network, network.masks, 0), data.inputs).holds
    """
    program = lower(case, network)
    return verify_program(
        case,
        network,
        masks,
        program,
        oracle,
        inputs,
        mc_iters=mc_iters,
        seed=seed,
        precision=precision,
        engine=engine,
        false_alarm=false_alarm,
        progress=progress,
    )


def verify_program(
    case: Case,
    network: Network,
    masks: Mapping[str, BoolArray],
    program: Program,
    oracle: Engine,
    inputs: AnyArray,
    *,
    mc_iters: int = DEFAULT_VERIFY_DRAWS,
    seed: int = 0,
    precision: Precision = Precision.FLOAT32,
    engine: EngineName = EngineName.TENSORFLOW,
    false_alarm: float = DEFAULT_FALSE_ALARM,
    progress: Progress = no_progress,
) -> Verification:
    """Compare a program that was lowered before with the graph; see `verify`."""
    compacted = specialise(program, masks)
    kind = case.roles.kind
    fast = _engine(engine, compacted, kind, seed, precision)
    masked = _engine(engine, specialise(program, masks, compact=False), kind, seed, precision)
    count = min(_SAME_DRAWS, mc_iters)
    same = [_draw(case, item, inputs, count, no_progress) for item in (masked, fast)]
    samples = [
        _draw(case, item, inputs, mc_iters, lambda share, done=number: progress((done + share) / 2.0))
        for number, item in enumerate((oracle, fast))
    ]
    return Verification(
        engine=fast.name,
        precision=precision,
        sizes=compare_sizes(program, compacted),
        zero_scale=_zero_scale(case, network, masks, program, compacted),
        same_draws=compare_draws(same[0], same[1], case.task, tolerance=_SAME[precision]),
        laws=compare_laws(samples[0], samples[1], case.task, false_alarm=false_alarm, tolerance=_SLACK[precision]),
    )


def _engine(name: EngineName, program: Program, kind: Output, seed: int, precision: Precision) -> Engine:
    if name is EngineName.TENSORFLOW:
        return TensorFlowEngine(program, kind, seed, precision)
    if name is not EngineName.NATIVE:
        raise UsageError(
            f"the engine {name.value} does not run programs", hint="Choose the engine tensorflow or native."
        )
    from bprune.engines.native import NativeEngine

    return NativeEngine(program, kind, seed, precision=precision)


def _zero_scale(
    case: Case, network: Network, masks: Mapping[str, BoolArray], program: Program, compacted: Program
) -> ZeroScale:
    try:
        error = max(check_lowering(case, network, program), check_lowering(case, network, compacted, masks))
    except SelfCheckError as failure:
        return ZeroScale(None, LARGEST_ERROR, failure.message)
    return ZeroScale(error, LARGEST_ERROR)


def _draw(case: Case, engine: Engine, inputs: AnyArray, mc_iters: int, progress: Progress) -> Draws:
    sink = _Kept()
    blocks = choose_blocks(engine, len(inputs), mc_iters)
    run_draws(engine, inputs, None, case.task, mc_iters=mc_iters, blocks=blocks, sink=sink, progress=progress)
    return sink.draws()


class _Kept:
    """A sink that keeps all draws."""

    def __init__(self) -> None:
        self._blocks: dict[int, list[Draws]] = {}

    def add(self, start: int, draws_start: int, draws: Draws) -> None:
        """Keep the draws; those of a block of examples come in order."""
        self._blocks.setdefault(start, []).append(draws)

    def add_summary(self, start: int, summary: ClassificationSummary | RegressionSummary) -> None:
        """Drop the summary."""

    def draws(self) -> Draws:
        """All draws of all examples."""
        blocks = [self._blocks[start] for start in sorted(self._blocks)]
        values = np.concatenate([np.concatenate([item.values for item in block]) for block in blocks], axis=1)
        if any(item.scale is None for block in blocks for item in block):
            return Draws(values)
        scales = [np.concatenate([item.scale for item in block if item.scale is not None]) for block in blocks]
        return Draws(values, np.concatenate(scales, axis=1))
