"""What a run of 10,000 examples and 400 draws takes in memory, draws stored or not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from bprune.engines.base import Draws, Engine, Sampling
from bprune.inference.run import Blocks, choose_blocks
from bprune.results.hdf5 import HDF5Output, chunk_shape
from bprune.results.layout import Variable

_CHILD = """
import json, sys
from bprune.cli import run
from bprune.commands import members
from bprune.results.write import ResultsWriter

def status(name):
    return next(int(line.split()[1]) / 1024 for line in open("/proc/self/status") if line.startswith(name))

real, add, peaks = members.record_draws, ResultsWriter.add, []

def measured(*arguments, **options):
    peaks.append(status("VmHWM"))
    open("/proc/self/clear_refs", "w").write("5")  # the peak begins anew
    result = real(*arguments, **options)
    peaks.append(status("VmHWM"))
    print(json.dumps({"own": peaks[-1], "peak": max(peaks)}), file=sys.stderr)
    return result

members.record_draws = measured
for mode in ("first", "none", "planted", "all"):
    kept = []
    if mode == "planted":
        ResultsWriter.add = lambda self, *part, **of: (kept.append(part[2]), add(self, *part, **of))
    else:
        ResultsWriter.add = add
    options = ["--draws", "all" if mode == "all" else "none", "--out", mode + ".h5", "--json"]
    assert run([*sys.argv[1:], *options]) == 0
"""


@pytest.mark.skipif(sys.platform != "linux", reason="measures memory as Linux tells it")
def test_draws_are_not_kept_in_memory(samples: Path, tmp_path: Path) -> None:
    """160 MB of draws pass by. A second run in a process needs no more than the first.

    The planted bug is a list of all draws.
    """
    with np.load(samples / "digits_fc" / "heldout.npz", allow_pickle=False) as file:
        rows = np.arange(10_000) % len(file["x"])
        np.savez(tmp_path / "many.npz", x=file["x"][rows], y=file["y"][rows])
    arguments = ["infer", "--case-dir", str(samples / "digits_fc"), "--data", "many.npz", "--engine", "native"]
    done = subprocess.run(
        [sys.executable, "-c", _CHILD, *arguments],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    first, none, planted, stored = (json.loads(line) for line in done.stderr.splitlines() if line.startswith("{"))
    assert none["own"] < first["own"] + 40.0
    assert planted["own"] > none["own"] + 80.0
    assert none["own"] < 700.0
    assert first["peak"] < 850.0, "kernels may be compiled in the first run"
    assert stored["peak"] < 1500.0
    with h5py.File(tmp_path / "all.h5") as file:
        draws, inputs = file["posterior_predictive/probabilities"], file["constant_data/x"]
        assert (draws.chunks[1], draws.compression, draws.fletcher32) == (400, None, True)
        assert inputs.compression == "gzip"


class _Engine:
    """An engine of blocks of 100 examples, as far as runs are divided."""

    name, sampling, output_size, block, most_draws = "native", Sampling.PER_EXAMPLE, 10, 100, 20

    def prepare(self, examples: int) -> None:
        """Nothing is chosen."""

    def draw(self, inputs: Any, draws: range, first: int = 0) -> Draws:
        """No draws."""
        raise NotImplementedError

    def example_bytes(self) -> int:
        """Little."""
        return 100


def test_stored_draws_of_a_block_fit_in_memory() -> None:
    """A block is complete before the next one begins, so that every chunk is written once."""
    engine: Engine = _Engine()
    assert choose_blocks(engine, 3200, 4000).examples == 3200
    blocks = choose_blocks(engine, 3200, 4000, stored=True)
    assert blocks.examples == 600
    assert blocks.stored_at_once(4000, 10) is None
    assert choose_blocks(engine, 200, 4000, stored=True).examples == 200
    assert choose_blocks(engine, 3200, 10**6, stored=True).examples == 100, "a block is not divided"


def test_where_all_draws_of_a_block_are_too_many_a_chunk_holds_those_that_come_together() -> None:
    dims, shape = ("chain", "draw", "example", "class"), (1, 4000, 3200, 10)
    assert chunk_shape(dims, shape, 4) == (1, 4000, 6, 10)
    many = Blocks(3200, 20)
    assert many.stored_at_once(4000, 10) == 20
    assert chunk_shape(dims, shape, 4, 20) == (1, 20, 1310, 10)
    assert chunk_shape(("example", "class"), (3200, 10), 4, 20) == (3200, 10)


def test_the_numbers_of_draws_are_not_cut_into_the_small_chunks_of_draws(tmp_path: Path) -> None:
    """A hundred million of them would take gigabytes of index."""
    axes = {"chain": 1, "draw": 5000, "example": 3, "class": 2}
    file = HDF5Output(tmp_path / "a.h5", tmp_path / "a.h5", draws_at_once=20)
    variables = {"probabilities": Variable(tuple(axes), "float32", "probability", "1")}
    file.create_group("posterior_predictive", variables, {name: np.arange(size) for name, size in axes.items()})
    file.close()
    with h5py.File(tmp_path / "a.h5") as read:
        group = read["posterior_predictive"]
        assert (group["draw"].chunks, group["probabilities"].chunks) == ((5000,), (1, 20, 3, 2))


def test_many_draws_of_few_examples_are_one_call_and_many_examples_do_not_fill_memory() -> None:
    engine: Engine = _Engine()
    engine.most_draws = 256
    assert choose_blocks(engine, 64, 4000).draws == 256
    assert choose_blocks(engine, 3200, 4000).draws * 3200 * 10 * 4 <= 8 << 20
    engine.most_draws = 5
    assert choose_blocks(engine, 64, 4000).draws == 5
