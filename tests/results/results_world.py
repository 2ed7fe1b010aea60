"""Two small runs with values that follow from formulas, asymmetric in every axis, and what writes them to files."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import h5py
import numpy as np

from bprune.arrays import AnyArray, FloatArray
from bprune.case.task import Task
from bprune.engines.base import Draws
from bprune.errors import BPruneError
from bprune.inference.statistics import (
    ClassificationMoments,
    ClassificationSummary,
    RegressionMoments,
    RegressionSummary,
)
from bprune.results import LayerRecord, Results, ResultsWriter, RunRecord, open_results

ROOT = Path(__file__).parents[2]
DRAWS = 5
RUNTIME_S = 1.25
QUANTILES = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
LAYERS = (LayerRecord("conv_1", 20, 7, QUANTILES), LayerRecord("dénse_2", 11, 11), LayerRecord("den_3", 0, 0))
RUN = RunRecord(
    mc_iters=DRAWS,
    seed=2**62 + 1,
    engine="graph",
    sampling="graph",
    checkpoint_digest="sha256:0123abcd",
    case="cases/mnist",
    command="bprune infer cases/mnist --mc-iters 5",
    threshold=2.5,
    criterion="snr",
    precision="bfloat16",
    plan='{"lines": ["dénse_2: 11x1"]}',
    antithetic=True,
    stopping='{"rule": "top-class"}',
    versions={"numpy": "2.0", "tensorflow": "2.16"},
    created_at="2024-01-02T03:04:05+00:00",
    inference_library_version="0.1.0",
)


@dataclass(frozen=True)
class World:
    """One network's inputs, labels and draws."""

    task: Task
    inputs: AnyArray
    labels: AnyArray
    draws: Draws

    @property
    def outputs(self) -> int:
        return int(self.draws.values.shape[2])

    def summary(self, start: int = 0, stop: int | None = None) -> ClassificationSummary | RegressionSummary:
        part = slice(start, stop)
        values = self.draws.values[:, part]
        scale = None if self.draws.scale is None else self.draws.scale[:, part]
        if self.task is Task.CLASSIFICATION:
            return ClassificationMoments.start(*values.shape[1:]).update(Draws(values)).summary()
        moments = RegressionMoments.start(*values.shape[1:]).update(Draws(values, scale), self.labels[part])
        return moments.summary()


def _ramp(*shape: int) -> AnyArray:
    return np.arange(np.prod(shape)).reshape(shape)


def classification(examples: int = 6) -> World:
    weights = (_ramp(DRAWS, examples, 3) * 7 % 11 + 1.0) ** 2
    probabilities: FloatArray = (weights / weights.sum(axis=-1, keepdims=True)).astype(np.float32)
    inputs = (_ramp(examples, 4, 2) % 251).astype(np.uint8)
    return World(Task.CLASSIFICATION, inputs, np.arange(examples) % 3, Draws(probabilities))


def regression(examples: int = 6, *, scale: bool = True) -> World:
    mean = (_ramp(DRAWS, examples, 2) * 5 % 13 / 4).astype(np.float32)
    scales = (_ramp(DRAWS, examples, 2) * 3 % 7 / 8 + 0.5).astype(np.float32) if scale else None
    inputs = (_ramp(examples, 3) / 8).astype(np.float32)
    return World(Task.REGRESSION, inputs, (_ramp(examples, 2) / 4).astype(np.float32), Draws(mean, scales))


WORLDS = {
    "classification": classification(),
    "regression": regression(),
    "regression without scale": regression(scale=False),
}


def writer(
    path: Path, world: World, *, keep_draws: bool = True, labels: bool = True, overwrite: bool = False
) -> ResultsWriter:
    return ResultsWriter(
        path,
        RUN,
        LAYERS,
        task=world.task,
        inputs=world.inputs,
        labels=world.labels if labels else None,
        outputs=world.outputs,
        predicts_scale=world.draws.scale is not None,
        keep_draws=keep_draws,
        overwrite=overwrite,
    )


def write(path: Path, world: World, *, keep_draws: bool = True, labels: bool = True, overwrite: bool = False) -> Path:
    """Write a world in two blocks of examples and two chunks of draws, out of order."""
    with writer(path, world, keep_draws=keep_draws, labels=labels, overwrite=overwrite) as file:
        for start, stop in ((4, len(world.inputs)), (0, 4)):
            for first, last in ((0, 2), (2, DRAWS)):
                scale = world.draws.scale
                part = None if scale is None else scale[first:last, start:stop]
                file.add(start, first, Draws(world.draws.values[first:last, start:stop], part))
            file.add_summary(start, world.summary(start, stop))
        file.finish(RUNTIME_S)
    return path


def contents(results: Results) -> dict[str, object]:
    """Everything that a file says, as plain values that can be compared."""
    draws = results.draws()
    arrays: dict[str, AnyArray | None] = {
        item.name: getattr(results.summary, item.name) for item in fields(results.summary)
    }
    arrays |= {"inputs": results.inputs, "labels": results.labels, "draws_made": results.draws_made}
    if draws is not None:
        arrays |= {"values": draws.values, "scale": draws.scale}
    plain = {
        name: None if array is None else (str(array.dtype), repr(array.tolist())) for name, array in arrays.items()
    }
    return {**plain, "task": results.task, "run": repr(results.run), "layers": repr(results.layers)}


def read_everything(path: Path) -> dict[str, object]:
    with open_results(path) as results:
        return contents(results)


def variables(path: Path) -> dict[str, dict[str, h5py.Dataset]]:
    """Values of every dataset of every group, read by h5py alone."""
    with h5py.File(path) as file:
        return {
            group: {name: (data.asstr() if data.dtype.kind == "O" else data)[...] for name, data in members.items()}
            for group, members in file.items()
        }


def try_altered(original: Path, scratch: Path, alterations: Sequence[tuple[int, int]]) -> None:
    """Print, for each flipped bit (byte, bit) or truncation (length, -1), what reading the file gives; for a child."""
    whole = original.read_bytes()
    expected = read_everything(original)
    for position, bit in alterations:
        altered = bytearray(whole if bit >= 0 else whole[:position])
        if bit >= 0:
            altered[position] ^= 1 << bit
        scratch.write_bytes(altered)
        try:
            outcome = "equal" if read_everything(scratch) == expected else "DIFFERENT"
        except BPruneError as error:
            outcome = type(error).__name__
        print(json.dumps([position, bit, outcome]))
        sys.stdout.flush()


def child(code: str, *arguments: str, timeout_s: float = 120) -> subprocess.CompletedProcess[str]:
    """Run Python code in another process, which may crash or hang."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, env=environment, check=False)
