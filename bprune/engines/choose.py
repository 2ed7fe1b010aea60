"""The choice between engines: the program engine where the network can be lowered, the graph engine else."""

from __future__ import annotations

import enum
import importlib.util
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, TypeVar

from bprune.arrays import BoolArray
from bprune.case.case import Case
from bprune.case.output import Output
from bprune.engines.base import Engine, Sampling
from bprune.engines.check import LARGEST_BFLOAT16_DIFFERENCE, bfloat16_difference, check_lowering
from bprune.engines.graph import GraphEngine
from bprune.engines.plan import Plan, layer_lines
from bprune.engines.tensorflow import Precision, TensorFlowEngine
from bprune.errors import EngineError, SelfCheckError, UnsupportedError, UsageError
from bprune.lowering.program import Program
from bprune.posterior.posterior import Network

__all__ = ["EngineName", "Origin", "Prepared", "engine_of_machine", "prepare_engine"]

if TYPE_CHECKING:
    from bprune.engines.native import NativeEngine

_Choice = TypeVar("_Choice", bound=enum.Enum)


class EngineName(str, enum.Enum):
    """Which engine runs the draws."""

    AUTO = "auto"
    """A program engine where the network can be lowered, the graph engine else; the reason is told.

    Of the program engines native, or tensorflow where it sees a GPU or bfloat16 is wanted.
    """
    GRAPH = "graph"
    """The rebuilt TensorFlow graph, as it was trained."""
    TENSORFLOW = "tensorflow"
    """The lowered and compacted program, with TensorFlow operations, on any device that it sees."""
    NATIVE = "native"
    """The same program on the CPU, with kernels compiled for it."""


_PROGRAM_ENGINES = (EngineName.TENSORFLOW, EngineName.NATIVE)


@dataclass(frozen=True, eq=False)
class Origin:
    """What an engine was made of: enough to make the same one elsewhere.

    Attributes:
        case: The case.
        masks: True where a weight is kept, by posterior name.
        seed: Seed of the noise.
        engine: The engine, never AUTO.
        sampling: What was asked for, or None.
        precision: What was asked for.
    """

    case: Case
    masks: Mapping[str, BoolArray]
    seed: int
    engine: EngineName
    sampling: Sampling | None
    precision: Precision


@dataclass(frozen=True)
class Prepared:
    """An engine that is ready to draw, and what it does.

    Attributes:
        engine: The engine.
        plan: What it does.
        origin: What it was made of.
    """

    engine: Engine
    plan: Plan
    origin: Origin


def prepare_engine(
    case: Case,
    network: Network,
    masks: Mapping[str, BoolArray],
    *,
    seed: int = 0,
    name: EngineName | str = EngineName.AUTO,
    sampling: Sampling | str | None = None,
    precision: Precision | str = Precision.FLOAT32,
    compact: bool = True,
) -> Prepared:
    """Choose an engine and make it ready.

    Args:
        case: The case.
        network: Its posteriors.
        masks: True where a weight is kept, by posterior name.
        seed: Seed of the noise, at least 0.
        name: Which engine.
        sampling: How weights are shared between the examples of a draw; None takes what the engine does.
        precision: In which number format products are computed.
        compact: Whether units that pruning has made useless are removed; the draws are the same either way.

    Raises:
        UsageError: If engine, sampling and precision do not go together.
        UnsupportedError: If the chosen engine cannot run the network.
        SelfCheckError: If the program is not the network of the graph.
        DamagedFileError: If a variable cannot be read.

    Example:
        >>> prepare_engine(case, network, network.masks, name="tensorflow").engine.draw(inputs, range(400))
    """
    name, precision = _member(EngineName, "engine", name), _member(Precision, "precision", precision)
    sampling = None if sampling is None else _member(Sampling, "sampling", sampling)
    _check_choice(name, sampling, precision)
    reason = "--engine graph was asked for" if name is EngineName.GRAPH else ""
    if sampling is Sampling.AS_TRAINED:
        reason = "only the graph samples as it was trained"
    if not reason:
        try:
            engine, plan = _program_engine(case, network, masks, seed, _Wish(name, sampling, precision), compact)
            return Prepared(engine, plan, Origin(case, masks, seed, EngineName(engine.name), sampling, precision))
        except (UnsupportedError, SelfCheckError, EngineError) as error:
            if (
                name in _PROGRAM_ENGINES
                or sampling not in (None, Sampling.AS_TRAINED)
                or precision is not Precision.FLOAT32
            ):
                raise
            reason = error.message
    graph = GraphEngine(case, network, masks, seed)
    lines = (f"engine graph, sampling {graph.sampling.value}, {precision.value}: {reason}",)
    plan = Plan(graph.name, graph.sampling.value, precision.value, reason, lines)
    return Prepared(graph, plan, Origin(case, masks, seed, EngineName.GRAPH, sampling, precision))


@dataclass(frozen=True)
class _Wish:
    """What was asked for."""

    name: EngineName
    sampling: Sampling | None
    precision: Precision


def _program_engine(
    case: Case, network: Network, masks: Mapping[str, BoolArray], seed: int, wish: _Wish, compact: bool
) -> tuple[TensorFlowEngine | NativeEngine, Plan]:
    from bprune.lowering.lower import lower, specialise

    whole = lower(case, network)
    program = specialise(whole, masks, compact=compact)
    error = check_lowering(case, network, program, masks)
    notes = [f"with all scales 0 the program differs from the graph by {error:.1g} of the largest output"]
    precision = wish.precision
    if precision is Precision.BFLOAT16:
        precision, note = _affordable(program, case)
        notes.append(note)
    kind = case.roles.kind
    native = _native(program, kind, seed, wish, precision)
    if native is not None:
        if precision is not native.precision:
            notes.append("no layer is faster in bfloat16 on this CPU: float32 is used")
        wide = frozenset(program.by_name) - native.narrow
        return native, _plan(native, whole, program, [*native.describe(), *notes], wide)
    engine = TensorFlowEngine(program, kind, seed, precision)
    return engine, _plan(engine, whole, program, notes, engine.wide)


def engine_of_machine() -> str:
    """The engine that AUTO takes for networks that can be lowered: native on a CPU, tensorflow where there is a GPU."""
    import tensorflow as tf

    has_gpu = bool(tf.config.list_physical_devices("GPU"))
    name = EngineName.TENSORFLOW if has_gpu or not importlib.util.find_spec("numba") else EngineName.NATIVE
    return str(name.value)


def _native(program: Program, kind: Output, seed: int, wish: _Wish, precision: Precision) -> NativeEngine | None:
    """The engine native, where it was asked for or the CPU is what there is.

    The masks play no part in the choice, so that draws of a network before and after pruning have the same noise.
    """
    asked = wish.name is EngineName.NATIVE or (wish.name is EngineName.AUTO and wish.sampling is Sampling.PER_EXAMPLE)
    if not asked and (wish.name is not EngineName.AUTO or engine_of_machine() != EngineName.NATIVE.value):
        return None
    from bprune.engines.native import NativeEngine

    return NativeEngine(program, kind, seed, wish.sampling or Sampling.PER_EXAMPLE, precision=precision)


def _affordable(program: Program, case: Case) -> tuple[Precision, str]:
    """bfloat16 where its draws are near those in float32."""
    difference = bfloat16_difference(program, case.roles.kind, case.graph.input_dtype)
    told = f"draws in bfloat16 differ by {difference:.1g} on average on test inputs"
    if difference <= LARGEST_BFLOAT16_DIFFERENCE:
        return Precision.BFLOAT16, told
    return Precision.FLOAT32, f"{told}, {LARGEST_BFLOAT16_DIFFERENCE:g} is allowed: float32 is used"


def _plan(
    engine: TensorFlowEngine | NativeEngine, whole: Program, program: Program, notes: list[str], wide: frozenset[str]
) -> Plan:
    from bprune.lowering.size import compare_sizes

    total = compare_sizes(whole, program).total
    sizes = [
        {name: value for name, value in asdict(item).items() if name not in {"layer", "units_in", "units_out"}}
        for item in (total.before, total.after)
    ]
    lines = (
        f"engine {engine.name}, sampling {engine.sampling.value}, {engine.precision.value}, "
        f"blocks of up to {engine.block} examples",
        f"{total.after.multiply_adds:,} multiply-adds per example and draw; {total.before.multiply_adds:,} unpruned",
        *layer_lines(whole, program, wide, engine.precision),
        *notes,
    )
    return Plan(engine.name, engine.sampling.value, engine.precision.value, "", lines, *sizes)


def _check_choice(name: EngineName, sampling: Sampling | None, precision: Precision) -> None:
    """Refuse what no engine does."""
    as_trained = sampling is Sampling.AS_TRAINED
    if name is EngineName.GRAPH and sampling is Sampling.WEIGHTS:
        raise UsageError(
            "the engine graph samples as the network was trained, and cannot share one set of weights",
            hint="Leave --engine out, or choose --engine tensorflow or native.",
        )
    if precision is not Precision.FLOAT32 and (name is EngineName.GRAPH or as_trained):
        what = "the engine graph" if name is EngineName.GRAPH else "--sampling as-trained, which the graph alone does,"
        raise UsageError(
            f"{what} computes in the precision of the training; --precision {precision.value} does not go with it",
            hint="Leave --precision out, or choose --engine tensorflow with --sampling weights.",
        )
    if name in _PROGRAM_ENGINES and as_trained:
        raise UsageError(
            f"the engine {name.value} draws from the lowered network, not as it was trained",
            hint="Leave --sampling out, or choose --engine graph.",
        )
    if sampling is Sampling.PER_EXAMPLE and name in (EngineName.GRAPH, EngineName.TENSORFLOW):
        raise UsageError(
            f"the engine {name.value} does not sample per example",
            hint="Leave --sampling out, or choose --engine native.",
        )


def _member(kind: type[_Choice], what: str, value: str) -> _Choice:
    try:
        return kind(value)
    except ValueError:
        raise UsageError(f"the {what} {value!r} is not one of {', '.join(item.value for item in kind)}") from None
