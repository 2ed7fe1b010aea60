"""A small ensemble with values that follow from formulas, and what writes it to a file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from bprune.case.task import Task
from bprune.engines.base import Draws
from bprune.results import ResultsWriter
from bprune.results.ensemble import ensemble_run, member_layers
from bprune.results.members import member_seed
from tests.results.results_world import LAYERS, RUN, RUNTIME_S, WORLDS, World

MEMBERS = 3
DRAWS = 5
RUNS = [
    replace(
        RUN,
        case=f"member_{number}",
        checkpoint_digest=f"sha256:{number}",
        seed=member_seed(RUN.seed, number),
        antithetic=False,
        stopping="",
        threshold=2.5 if number else 1.5,
        criterion="snr" if number else "bmr",
    )
    for number in range(MEMBERS)
]
ENSEMBLE = ensemble_run(RUNS)
ENSEMBLE_LAYERS = member_layers([LAYERS, LAYERS[:1], LAYERS[::-1]])


def members_of(name: str) -> list[World]:
    """The members of a world: all differ from each other, the first is the world itself."""
    world = WORLDS[name]
    return [replace(world, draws=_member(world, number)) for number in range(MEMBERS)]


def _member(world: World, number: int) -> Draws:
    values, scale = world.draws.values, world.draws.scale
    if world.task is Task.CLASSIFICATION:
        sharper = np.roll(values, number, axis=0) ** (1.0 + number)
        return Draws((sharper / sharper.sum(axis=-1, keepdims=True)).astype(np.float32)) if number else world.draws
    return Draws(values + np.float32(number / 4.0), None if scale is None else scale * np.float32(1.0 + number / 8.0))


def ensemble_writer(path: Path, name: str, *, keep_draws: bool = True, labels: bool = True) -> ResultsWriter:
    world = WORLDS[name]
    return ResultsWriter(
        path,
        ENSEMBLE,
        ENSEMBLE_LAYERS,
        task=world.task,
        inputs=world.inputs,
        labels=world.labels if labels else None,
        outputs=world.outputs,
        predicts_scale=world.draws.scale is not None,
        keep_draws=keep_draws,
        overwrite=False,
    )


def write_ensemble(path: Path, name: str, *, keep_draws: bool = True, labels: bool = True) -> Path:
    """Write an ensemble, member after member, in two blocks of examples, out of order."""
    with ensemble_writer(path, name, keep_draws=keep_draws, labels=labels) as file:
        for number, world in reversed(list(enumerate(members_of(name)))):
            for start, stop in ((4, len(world.inputs)), (0, 4)):
                scale = world.draws.scale
                part = None if scale is None else scale[:, start:stop]
                file.of_member(number).add(start, 0, Draws(world.draws.values[:, start:stop], part))
                file.of_member(number).add_summary(start, world.summary(start, stop))
        file.finish(RUNTIME_S)
    return path
