"""The comparison of law 6 sees what could be wrong with compaction: planted bugs, each of which it must find."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from bprune.lowering.ops import Function
from bprune.lowering.passes import mask_weights, remove_dead_units
from bprune.lowering.passes.dead_units import entries, forward, groups, layers, rebuild
from bprune.lowering.passes.dead_units.known import Known
from bprune.lowering.program import Program, weights_of, with_weights
from bprune.lowering.shapes import ShapeError
from tests.lowering.agreement import TOLERANCE, disagreement
from tests.lowering.programs import FIXED, WORLDS, Builder, random_masks, thinned

_PICKED, _OF_LAYER = rebuild._picked, layers.known_of_layer


def _picked_without_ids(weights: Any, index: Any, axis: int) -> Any:
    new = _PICKED(weights, index, axis)
    return new if new.ids is None else replace(new, ids=np.arange(new.ids.size, dtype=np.int32).reshape(new.shape))


def _averaged(op: Any, before: Known, shape: Any, found: Any) -> Known:
    known = _OF_LAYER(op, before, shape, found)
    axes = tuple(range(known.values.ndim - 1))
    return Known(known.units, np.broadcast_to(known.values.mean(axis=axes), known.values.shape).copy())


def _dropped(op: Any, before: Known) -> Known:
    x = layers.with_constant(op, before)
    return Known(x.units, 0.0 * x.values)


def _never(weights: Any) -> Any:
    return np.zeros(weights.shape, np.bool_)


PLANTED: dict[str, tuple[Any, str, Callable[..., Any]]] = {
    "a constant is dropped": (rebuild, "with_constant", _dropped),
    "the border is like the corner": (rebuild, "_uniform", lambda values: values.reshape(-1, values.shape[-1])[0]),
    "a constant is the same everywhere": (forward, "known_of_layer", _averaged),
    "a sampled bias is a constant": (layers, "is_random", _never),
    "a sampled weight of a constant is a constant": (entries, "is_random", _never),
    "the noise is numbered anew": (rebuild, "_picked", _picked_without_ids),
    "a sum loses units on one side": (groups._Nodes, "tie", lambda self, first, second: None),
}


def _border_world() -> Program:
    """Two dead filters, and a fixed filter that reads those alone: at the border it gives something else."""
    b = Builder(5, 4, 2, seed=1)
    x = b.act(b.conv("input", 4), Function.SOFTPLUS)
    x = b.act(b.conv(x, 3, FIXED), Function.TANH)
    program = b.build(b.dense(b.flatten(b.conv(x, 3)), 2))
    first, _, second, *_ = program.ops
    dead = np.arange(4) < 2
    kernels = {}
    for op, pruned in ((first, dead), (second, ~dead[:, None] & (np.arange(3) == 1))):
        kernel = weights_of(op)["kernel"]
        kernels[op.name] = kernel.without(np.broadcast_to(pruned, kernel.shape))
    return program.replaced(
        [with_weights(op, {"kernel": kernels[op.name]}) if op.name in kernels else op for op in program.ops]
    )


def _masked_worlds() -> Iterator[Program]:
    yield _border_world()
    for make in WORLDS.values():
        for seed, kept in enumerate((0.3, 0.6, 0.9)):
            program = thinned(make(seed), kept, seed)
            yield mask_weights(program, random_masks(program, kept, seed))


def _worst() -> float:
    """The largest disagreement in all worlds; infinite if a program is not legal."""
    worst = 0.0
    for program in _masked_worlds():
        try:
            worst = max(worst, disagreement(program, remove_dead_units(program)))
        except ShapeError:
            return np.inf
    return worst


def test_nothing_is_found_without_a_bug() -> None:
    assert _worst() < TOLERANCE


@pytest.mark.parametrize("bug", PLANTED)
def test_planted_bug(bug: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module, name, wrong = PLANTED[bug]
    monkeypatch.setattr(module, name, wrong)
    assert _worst() > 100 * TOLERANCE
