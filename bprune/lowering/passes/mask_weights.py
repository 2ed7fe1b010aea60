"""Pruning, as a program sees it: a pruned weight is exactly 0 in every draw."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from bprune.arrays import BoolArray
from bprune.errors import SelfCheckError
from bprune.lowering.ops import Op
from bprune.lowering.program import Program, weights_of, with_weights
from bprune.lowering.weights import Weights

__all__ = ["mask_weights"]


def mask_weights(program: Program, masks: Mapping[str, BoolArray]) -> Program:
    """Apply masks to all weights that are sampled from the named posteriors.

    Elements are found by their original ids, so the pass works before and after any other pass.

    Args:
        program: A legal program.
        masks: True where a weight is kept, by posterior name `layer/part`, of the posterior's shape. A posterior
            without a mask keeps all its weights; a mask of a posterior that is not in the program has no effect.

    Raises:
        SelfCheckError: If a mask has not as many elements as its posterior.
    """
    return replace(program, ops=tuple(_masked_op(op, masks) for op in program.ops))


def _masked_op(op: Op, masks: Mapping[str, BoolArray]) -> Op:
    weights = weights_of(op)
    changed = {field: _masked(item, masks) for field, item in weights.items()}
    return op if all(changed[field] is item for field, item in weights.items()) else with_weights(op, changed)


def _masked(weights: Weights, masks: Mapping[str, BoolArray]) -> Weights:
    stream = weights.stream
    if stream is None or stream.posterior not in masks:
        return weights
    mask = masks[stream.posterior].reshape(-1)
    if mask.size != stream.size:
        raise SelfCheckError(
            f"the mask of {stream.posterior!r} has {mask.size} elements; the posterior has {stream.size}",
            hint="Report this, with the output of `bprune inspect`.",
        )
    pruned = ~mask[weights.ids]
    return weights.without(pruned) if pruned.any() else weights
