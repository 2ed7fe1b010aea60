"""How each operation of a program's random part is run by the engine `native`.

The choice is a function of the program alone, so that the same seed gives the same bits on every run of a machine.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from bprune.engines.base import Sampling
from bprune.engines.native.block import Step
from bprune.engines.native.chain import Link
from bprune.engines.native.convolutions import PoolStep, SparseConvStep
from bprune.engines.native.dense import ChainStep, ProductStep
from bprune.engines.native.layers import unit_ids
from bprune.engines.native.rest import ArrayStep, GraphStep
from bprune.lowering.ops import Activation, Conv, Dense, Function, Op, Pool
from bprune.lowering.program import Program

__all__ = ["plan_steps"]

_LEAST_FAN_IN = 40
"""Inputs of a layer from which its cached moments are cheaper than its product: a normal costs as much as 40
multiply-adds."""

_DENSE_NS, _CONVOLUTION_NS, _SPARSE_NS = 0.019, 0.02, 0.032
"""Nanoseconds of one core for a multiply-add of a matrix product, of a convolution, and of one with live weights alone;
measured on cores with AVX-512, the ratios are similar elsewhere."""
_MOVE_NS = 0.5
"""Nanoseconds of one core for an activation that is moved to another layout."""


def plan_steps(
    program: Program, ops: Sequence[Op], fixed: Sequence[str], seed: int, sampling: Sampling
) -> tuple[Step, ...]:
    """Choose how each operation of the random part is run.

    Args:
        program: The program.
        ops: Its random part, in order.
        fixed: The tensors that are the same in every draw.
        seed: The run's seed.
        sampling: WEIGHTS for one set of weights per draw; PER_EXAMPLE allows what has the same law for each example.
    """
    steps: list[Step] = []
    waiting: list[Op] = []
    skip: set[str] = set()
    read_later = _readers(program)

    def flush() -> None:
        if waiting:
            made = {op.name for op in waiting}
            wanted = [name for name in made if name in program.outputs or read_later[name] - made]
            steps.append(GraphStep(seed, waiting, [op.name for op in waiting if op.name in wanted]))
            waiting.clear()

    for op in ops:
        if op.name in skip:
            continue
        if isinstance(op, Dense) or (isinstance(op, Conv) and _is_sparse_picture(op, program)):
            flush()
            follower = _relu_after(program, op)
            if follower is not None:
                skip.add(follower)
            name, relu = follower or op.name, follower is not None
            if isinstance(op, Conv):
                steps.append(SparseConvStep(seed, op, name, relu, program))
            elif len(program.shapes[op.inputs[0]]) > 1:
                steps.append(ProductStep(seed, op, name, relu))
            else:
                links, name = _chain(program, op)
                skip.update(tensor for link in links for tensor in (link.op.name, _relu_after(program, link.op) or ""))
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


def _relu_after(program: Program, op: Dense | Conv) -> str | None:
    """The relu that is all that reads a layer, by its tensor."""
    users = program.consumers[op.name]
    if len(users) != 1 or op.name in program.outputs:
        return None
    user = users[0]
    return user.name if isinstance(user, Activation) and user.function is Function.RELU else None


def _is_sparse_picture(op: Conv, program: Program) -> bool:
    """Whether a convolution is cheaper by its live weights, the way to their layout and back included."""
    if len(op.strides) != 2:
        return False
    source, result = program.shapes[op.inputs[0]], program.shapes[op.name]
    positions = math.prod(result.spatial)
    sparse_ns = _SPARSE_NS * positions * op.kernel.nonzeros + _MOVE_NS * (source.size + result.size)
    return sparse_ns < _CONVOLUTION_NS * positions * op.kernel.loc.size


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
    following: Op = op
    while isinstance(following, Dense):
        relu = _relu_after(program, following)
        links.append(Link(following, relu is not None, _is_sparse_product(following)))
        name = relu or following.name
        users = program.consumers[name]
        if len(users) != 1 or name in program.outputs:
            break
        following = users[0]
    return links, name


def _is_sparse_product(op: Dense) -> bool:
    """Whether a layer is cheaper by its live weights."""
    return _SPARSE_NS * op.kernel.nonzeros < _DENSE_NS * op.kernel.loc.size
