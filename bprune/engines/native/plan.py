"""How each operation of a program's random part is run by the engine `native`.

The choice is a function of the program alone, so that the same seed gives the same bits on every run of a machine.
"""

from __future__ import annotations

from collections.abc import Sequence

from bprune.engines.base import Sampling
from bprune.engines.native.block import Step
from bprune.engines.native.chain import Link
from bprune.engines.native.dense import ChainStep, ProductStep
from bprune.engines.native.layers import unit_ids
from bprune.engines.native.pictures import PictureStep, stages_of
from bprune.engines.native.readers import only_reader, relu_after
from bprune.engines.native.rest import ArrayStep, GraphStep, PoolStep
from bprune.lowering.ops import Conv, Dense, Op, Pool
from bprune.lowering.program import Program

__all__ = ["plan_steps"]

_LEAST_FAN_IN = 40
"""Inputs of a layer from which its cached moments are cheaper than its product: a normal costs as much as 40
multiply-adds."""

_DENSE_NS, _SPARSE_NS = 0.019, 0.032
"""Nanoseconds of one core for a multiply-add of a matrix product, and of one with live weights alone;
measured on cores with AVX-512, the ratios are similar elsewhere."""


def plan_steps(
    program: Program,
    ops: Sequence[Op],
    fixed: Sequence[str],
    seed: int,
    sampling: Sampling,
    narrow: frozenset[str] = frozenset(),
) -> tuple[Step, ...]:
    """Choose how each operation of the random part is run.

    Args:
        program: The program.
        ops: Its random part, in order.
        fixed: The tensors that are the same in every draw.
        seed: The run's seed.
        sampling: WEIGHTS for one set of weights per draw; PER_EXAMPLE allows what has the same law for each example.
        narrow: The convolutions that TensorFlow computes in bfloat16.
    """
    steps: list[Step] = []
    waiting: list[Op] = []
    skip: set[str] = set()
    read_later = _readers(program)

    def flush() -> None:
        if waiting:
            made = {op.name for op in waiting}
            wanted = [name for name in made if name in program.outputs or read_later[name] - made]
            steps.append(GraphStep(seed, waiting, [op.name for op in waiting if op.name in wanted], narrow))
            waiting.clear()

    for op in ops:
        if op.name in skip:
            continue
        if isinstance(op, Conv) and len(op.strides) == 2 and op.name not in narrow:
            flush()
            stages, made, name = stages_of(program, op, seed, narrow)
            skip |= made
            steps.append(PictureStep(stages, op.inputs[0], name, frozenset(made - {name})))
        elif isinstance(op, Dense) and len(program.shapes[op.inputs[0]]) > 1:
            flush()
            relu = relu_after(program, op.name)
            skip.add(relu or op.name)
            steps.append(ProductStep(seed, op, relu or op.name, relu is not None))
        elif isinstance(op, Dense):
            flush()
            links, name = _chain(program, op)
            skip.update(tensor for link in links for tensor in (link.op.name, relu_after(program, link.op.name) or ""))
            is_fixed = op.inputs[0] in fixed
            cached = is_fixed and sampling is Sampling.PER_EXAMPLE and _has_moments(op)
            steps.append(ChainStep(seed, links, name, is_fixed=is_fixed, cached=cached))
        elif isinstance(op, Pool) and len(op.window) == 2 and not waiting:
            steps.append(PoolStep(op, program))
        elif ArrayStep.takes(op) and not waiting:
            steps.append(ArrayStep(op))
        else:
            waiting.append(op)
    flush()
    return tuple(steps)


def _readers(program: Program) -> dict[str, set[str]]:
    return {name: {op.name for op in users} for name, users in program.consumers.items()}


def _fan_in(op: Dense) -> int:
    """The inputs that a layer had before anything was removed: pruning must not change how its noise is made."""
    stream = op.kernel.stream
    return op.kernel.shape[0] if stream is None else stream.size // stream.units


def _has_moments(op: Dense) -> bool:
    """Whether the outputs of a layer are better drawn than its weights, where its inputs are the same in every draw."""
    sampled = [item for item in (op.kernel, op.bias) if item is not None and item.is_sampled]
    is_normal = all(item.family == "Normal" for item in sampled)
    return _fan_in(op) >= _LEAST_FAN_IN and is_normal and unit_ids(op.kernel) is not None


def _chain(program: Program, op: Dense) -> tuple[list[Link], str]:
    """The dense layers from this one on that are read by the next alone, and the tensor of the last."""
    links: list[Link] = []
    following: Op | None = op
    while isinstance(following, Dense):
        relu = relu_after(program, following.name)
        links.append(Link(following, relu is not None, _is_sparse_product(following)))
        name = relu or following.name
        following = only_reader(program, name)
    return links, name


def _is_sparse_product(op: Dense) -> bool:
    """Whether a layer is cheaper by its live weights."""
    return _SPARSE_NS * op.kernel.nonzeros < _DENSE_NS * op.kernel.loc.size
