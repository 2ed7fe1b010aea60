"""Writing results: nothing half-written, nothing incomplete, nothing that does not fit."""

from __future__ import annotations

import dataclasses
import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from bprune.case.task import Task
from bprune.engines.base import Draws
from bprune.errors import InputError, OutputError, UsageError
from bprune.results import ResultsWriter, open_results
from tests.results.results_world import (
    LAYERS,
    RUN,
    RUNTIME_S,
    World,
    child,
    regression,
    write,
    writer,
)

GOLDEN = Path(__file__).with_name("golden_v1.h5")


# Writing


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_an_interrupted_writer_leaves_nothing(tmp_path: Path, world: World, error: type[BaseException]) -> None:
    def interrupted(at: int) -> None:
        with writer(tmp_path / "r.h5", world) as file:
            file.add(0, 0, world.draws)
            file.add_summary(0, world.summary())
            if at == 0:
                raise error("stop here")
            file.finish(RUNTIME_S)
            raise error("stop here")

    for at in (0, 1):
        with pytest.raises(error, match="stop here"):
            interrupted(at)
        assert os.listdir(tmp_path) == []


def test_a_writer_left_without_finish_leaves_nothing(tmp_path: Path, world: World) -> None:
    with writer(tmp_path / "r.h5", world) as file:
        file.add(0, 0, world.draws)
    assert os.listdir(tmp_path) == []


def test_an_existing_file_is_kept(good: Path, world: World) -> None:
    before = good.read_bytes()
    with pytest.raises(OutputError, match="exists already"):
        write(good, world)
    with pytest.raises(UsageError, match="not complete"), writer(good, world, overwrite=True) as file:
        file.finish(RUNTIME_S)
    assert good.read_bytes() == before
    assert os.listdir(good.parent) == [good.name]


def test_an_existing_file_is_replaced_on_request(good: Path) -> None:
    write(good, regression(), overwrite=True)
    with open_results(good) as results:
        assert results.task is Task.REGRESSION


def test_a_folder_that_is_not_there_is_named(tmp_path: Path, world: World) -> None:
    with pytest.raises(OutputError, match=r"cannot write .*nowhere.*No such file"):
        write(tmp_path / "nowhere" / "r.h5", world)


def test_a_disk_that_is_too_small_is_refused_first(
    tmp_path: Path, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=12_345))
    with pytest.raises(OutputError, match=r"(?s)up to 1,05\d,\d\d\d bytes are needed and 12,345 bytes.*--draws none"):
        write(tmp_path / "r.h5", world)
    assert os.listdir(tmp_path) == []


FULL_DISK = """
import os, resource, sys
from pathlib import Path
from bprune.errors import OutputError
from tests.results.results_world import WORLDS, read_everything, write

path, world = Path(sys.argv[1]), WORLDS["classification"]
unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
for limit in map(int, sys.argv[2:]):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, unlimited))
    try:
        write(path, world)
        print("written")
    except OutputError as error:
        print(error.message.rpartition(": ")[2], os.listdir(path.parent))
resource.setrlimit(resource.RLIMIT_FSIZE, (unlimited, unlimited))
read_everything(write(path, world))
print("done")
"""


def test_a_failing_write_is_an_error_and_not_a_crash(tmp_path: Path, good: Path) -> None:
    size = good.stat().st_size
    folder = tmp_path / "out"
    folder.mkdir()
    limits = [0, 1, 1000, size // 3, size // 2, size - 400, size - 1]
    result = child(FULL_DISK, str(folder / "r.h5"), *map(str, limits))
    assert result.stdout.splitlines() == ["File too large []"] * len(limits) + ["done"], result.stderr
    assert result.returncode == 0, result.stderr


def test_blocks_that_do_not_fit_are_refused(tmp_path: Path, world: World) -> None:
    with writer(tmp_path / "r.h5", world) as file:
        with pytest.raises(UsageError, match=r"at \(0, 0, 1\) is not inside posterior_predictive/probabilities"):
            file.add(1, 0, world.draws)
        with pytest.raises(UsageError, match="is not inside"):
            file.add(0, 1, world.draws)
        with pytest.raises(UsageError, match="is not inside"):
            file.add(-1, 0, world.draws)
        with pytest.raises(UsageError, match="is not inside"):
            file.add(0, 0, Draws(world.draws.values[..., :2]))
        with pytest.raises(UsageError, match="is not inside summary/mean"):
            file.add_summary(3, world.summary())


def test_a_summary_of_another_task_is_refused(tmp_path: Path, world: World) -> None:
    other = regression().summary()
    wide = dataclasses.replace(other, mean=world.summary().mean, stddev=world.summary().stddev)
    message = "predictive_entropy of the group summary is missing"
    with pytest.raises(UsageError, match=message), writer(tmp_path / "r.h5", world) as file:
        file.add_summary(0, wide)


def test_a_scale_that_was_promised_must_come(tmp_path: Path) -> None:
    world = regression()
    message = "scale of the group posterior_predictive is missing"
    with pytest.raises(UsageError, match=message), writer(tmp_path / "r.h5", world) as file:
        file.add(0, 0, Draws(world.draws.values))


@pytest.mark.parametrize("missing", ["summary", "draws"])
def test_incomplete_results_are_not_finished(tmp_path: Path, world: World, missing: str) -> None:
    with writer(tmp_path / "r.h5", world) as file:
        file.add(0, 0, world.draws if missing == "summary" else Draws(world.draws.values[:, :3]))
        file.add_summary(0, world.summary(0, 3 if missing == "summary" else None))
        with pytest.raises(UsageError, match="not complete: the summary of example 3"):
            file.finish(RUNTIME_S)
    assert os.listdir(tmp_path) == []


def test_inputs_labels_and_layers_are_checked_before_anything_is_written(tmp_path: Path, world: World) -> None:
    path = tmp_path / "r.h5"
    with pytest.raises(InputError, match="label 7 of example 0"):
        write(path, dataclasses.replace(world, labels=world.labels + 7))
    for inputs in (np.zeros((0, 3)), np.array(["a"] * 6), np.float64(3.0), np.zeros((6, 2), np.complex64)):
        with pytest.raises(InputError, match="inputs are"):
            write(path, dataclasses.replace(world, inputs=np.asarray(inputs)))
    for layers in ((), LAYERS + LAYERS):
        with pytest.raises(UsageError, match="layers need at least one name, each once"):
            ResultsWriter(
                path,
                RUN,
                layers,
                task=world.task,
                inputs=world.inputs,
                labels=None,
                outputs=3,
                predicts_scale=False,
                keep_draws=True,
                overwrite=False,
            )
    assert os.listdir(tmp_path) == []
