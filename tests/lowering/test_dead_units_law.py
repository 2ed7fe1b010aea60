"""Law 6: compacted equals masked, given the same draws. For all worlds, and for random programs."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bprune.lowering.ops import Conv, Dense
from bprune.lowering.passes import (
    drop_identities,
    fold_affine,
    fold_padding,
    fuse_activations,
    mask_weights,
    remove_dead_units,
)
from bprune.lowering.program import Program, check_program
from tests.lowering.agreement import same_numbers
from tests.lowering.programs import WORLDS, random_masks, thinned
from tests.lowering.random_programs import programs


def masked(program: Program, kept: float, seed: int) -> Program:
    return mask_weights(thinned(program, kept, seed), random_masks(program, kept, seed))


def units(program: Program) -> int:
    return sum(program.shapes[op.name].units for op in program.ops if isinstance(op, (Dense, Conv)))


@pytest.mark.parametrize("kept", [0.0, 0.05, 0.3, 0.7, 0.95])
@pytest.mark.parametrize("world", WORLDS)
def test_compacted_equals_masked(world: str, kept: float) -> None:
    for seed in range(3):
        program = masked(WORLDS[world](seed), kept, seed)
        compacted = remove_dead_units(program)
        check_program(compacted)
        assert same_numbers(program, compacted)
        assert remove_dead_units(compacted) is compacted
        assert min(shape.units for shape in compacted.shapes.values()) > 0


@pytest.mark.parametrize("world", WORLDS)
def test_units_go(world: str) -> None:
    program = WORLDS[world](0)
    if world != "decoder":  # which selects some of its units
        assert remove_dead_units(program) is program
    assert units(remove_dead_units(masked(program, 0.1, 0))) < units(program)


@pytest.mark.parametrize("world", WORLDS)
def test_the_whole_compiler(world: str) -> None:
    program = WORLDS[world](4)
    masks = random_masks(program, 0.4, 5)
    simple = program
    for run in (drop_identities, fuse_activations, fold_padding, fold_affine, drop_identities):
        simple = run(simple)
        check_program(simple)
    assert same_numbers(program, simple)
    compacted = fold_affine(drop_identities(remove_dead_units(mask_weights(simple, masks))))
    check_program(compacted)
    assert same_numbers(mask_weights(program, masks), compacted)


@settings(max_examples=250, deadline=None)
@given(programs(), st.sampled_from([0.0, 0.03, 0.2, 0.5, 0.9]), st.integers(0, 1000))
def test_random_programs(program: Program, kept: float, seed: int) -> None:
    sparse = masked(program, kept, seed)
    compacted = remove_dead_units(sparse)
    check_program(compacted)
    assert same_numbers(sparse, compacted)
    assert remove_dead_units(compacted) is compacted


@settings(max_examples=120, deadline=None)
@given(programs(), st.sampled_from([0.1, 0.5]), st.integers(0, 1000))
def test_random_programs_through_the_whole_compiler(program: Program, kept: float, seed: int) -> None:
    masks = random_masks(program, kept, seed)
    simple = fold_affine(fold_padding(fuse_activations(drop_identities(program))))
    check_program(simple)
    assert same_numbers(program, simple)
    compacted = drop_identities(remove_dead_units(mask_weights(simple, masks)))
    check_program(compacted)
    assert same_numbers(mask_weights(program, masks), compacted)
