"""Plans: tasks in any order and on any day give what one process gives; nothing foreign or changed is mixed in."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import h5py
import numpy as np
import pytest

import bprune
from bprune import load_case
from bprune.errors import DamagedFileError, InputError, MissingFileError, OutputError, UnsupportedError, UsageError
from bprune.inference import Dataset
from bprune.inference.amount import Amount
from bprune.inference.stopping import Stopping
from bprune.jobs import (
    DataSource,
    Plan,
    collect,
    missing_tasks,
    plan_infer,
    plan_sweep,
    read_plan,
    run_task,
    write_plan,
)
from bprune.judgement.measure import Draws, Study, prepare_draws
from bprune.judgement.run import Grid
from bprune.judgement.sweep import Sweep
from bprune.posterior import read_network
from bprune.pruning import Rule, choose_masks
from bprune.results import Results
from bprune.results.ensemble import ensemble_run
from bprune.results.members import member_seed
from bprune.results.record import new_run


@pytest.fixture(autouse=True, scope="module")
def small_blocks() -> Iterator[None]:
    """Engines run few examples at a time, so that there is something to divide; and points are timed once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bprune.engines.native.engine._LARGEST_CHAIN_BLOCK", 24)
        patch.setattr("bprune.inference.adaptive._GROUP", 24)
        patch.setattr("bprune.judgement.run.time_draws", lambda engine, data: 1.0)
        yield


@pytest.fixture
def case(samples: Path, tmp_path: Path) -> Path:
    """A case of one's own, which may be changed."""
    shutil.copytree(samples / "digits_fc", tmp_path / "digits")
    return tmp_path / "digits"


def infer_plan(
    case: Path, out: Path, tasks: int, amount: Amount | None = None, others: tuple[Path, ...] = (), **options: Any
) -> Plan:
    amount = amount or Amount(8, stored=True)
    rule, source, members, runs = Rule(threshold=1.0), DataSource(examples=100), [], []
    for number, place in enumerate((case, *others)):
        loaded, seed = load_case(place), member_seed(5, number)
        network = read_network(loaded)
        member = prepare_draws(loaded, network, choose_masks(network, rule), Draws(8, seed, **options))
        common: dict[str, Any] = {"mc_iters": amount.mc_iters, "rule": rule, "stopping": amount.stopping}
        members.append(member)
        runs.append(new_run(loaded, member, seed=seed, command="planned", **common))
    data = source.read(members[0].origin.case, members[0].engine)
    return plan_infer(members, data, source, amount, ensemble_run(runs), out, tasks=tasks)


def planned(case: Path, folder: Path, tasks: int, **options: Any) -> Path:
    """The path of a plan that was written."""
    path = folder / "plan.json"
    write_plan(infer_plan(case, folder / "results.h5", tasks, **options), path)
    return path


def serial_digest(case: Path, folder: Path, others: tuple[Path, ...] = (), **options: Any) -> str:
    with np.load(case / "heldout.npz", allow_pickle=False) as held:
        data = Dataset(held["x"][:100], held["y"][:100], "first")
    options = {"seed": 5, "threshold": 1.0, "overwrite": True, **options}
    with bprune.infer([case, *others], data, folder / "serial.h5", **options) as results:
        return results.digest()


def collected_digest(path: Path, **options: Any) -> str:
    found = collect(path, **options)
    assert isinstance(found, Results)
    with found:
        return found.digest()


@pytest.mark.parametrize("tasks", [1, 8])
def test_shuffled_tasks_one_of_them_twice_give_the_serial_results(case: Path, tmp_path: Path, tasks: int) -> None:
    path = planned(case, tmp_path, tasks)
    count = len(read_plan(path).tasks)
    assert count == tasks
    order = [*range(count), count // 2]
    Random(tasks).shuffle(order)
    assert missing_tasks(path) == tuple(range(count))
    for index in order:
        run_task(path, index)
    assert missing_tasks(path) == ()
    assert collected_digest(path) == serial_digest(case, tmp_path, mc_iters=8)
    assert sum(1 for _ in (tmp_path / "plan.tasks").iterdir()) == count


@pytest.mark.parametrize("tasks", [1, 6])
def test_members_of_an_ensemble_are_planned(case: Path, samples: Path, tmp_path: Path, tasks: int) -> None:
    path, others = planned(case, tmp_path, tasks, others=(samples / "digits_conv",)), (samples / "digits_conv",)
    count = len(read_plan(path).tasks)
    assert count == tasks
    assert {unit.member for unit in read_plan(path).units} == {0, 1}
    for index in reversed(range(count)):
        run_task(path, index)
    assert collected_digest(path) == serial_digest(case, tmp_path, others=others, mc_iters=8)


def test_members_that_draw_together_are_not_planned(case: Path, samples: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="draw an example together"):
        infer_plan(case, tmp_path / "a.h5", 2, Amount(64, Stopping(64)), others=(samples / "digits_conv",))


def test_settled_examples_are_planned(case: Path, tmp_path: Path) -> None:
    path = planned(case, tmp_path, 4, amount=Amount(64, Stopping(64)))
    for index in range(len(read_plan(path).tasks)):
        run_task(path, index)
    assert collected_digest(path) == serial_digest(case, tmp_path, mc_iters="auto", max_mc_iters=64)


def test_a_task_that_was_killed_is_done_again_and_others_are_not(
    case: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = planned(case, tmp_path, 3)
    run_task(path, 0)

    def killed(share: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_task(path, 1, progress=killed)
    assert missing_tasks(path) == (1, 2)
    with pytest.raises(MissingFileError, match="2 of 3 tasks .* have not ended: 1-2") as caught:
        collect(path)
    assert "--array=1-2" in (caught.value.hint or "")
    assert not (tmp_path / "results.h5").exists()
    run_task(path, 2)
    assert run_task(path, 1).was_there == 0
    with monkeypatch.context() as patch:
        patch.setattr("bprune.jobs.task.do_share", None)
        assert run_task(path, 0).was_there == 1
    assert collected_digest(path) == serial_digest(case, tmp_path, mc_iters=8)
    with pytest.raises(OutputError, match="exists already"):
        collect(path)
    collected_digest(path, overwrite=True)


def test_a_damaged_file_counts_as_missing_and_is_replaced(case: Path, tmp_path: Path) -> None:
    path = planned(case, tmp_path, 2)
    files = [file for index in range(2) for file in run_task(path, index).files]
    content = bytearray(files[0].read_bytes())
    content[len(content) // 2] ^= 1
    files[0].write_bytes(content)
    files[1].write_bytes(b"")
    assert missing_tasks(path) == (0, 1)
    assert [run_task(path, index).was_there for index in range(2)] == [0, 0]
    assert collected_digest(path) == serial_digest(case, tmp_path, mc_iters=8)


def test_what_another_plan_gave_is_not_taken(case: Path, tmp_path: Path) -> None:
    path = planned(case, tmp_path, 2)
    other = tmp_path / "other.json"
    plan = read_plan(path)
    write_plan(dataclasses.replace(plan, about=dict(plan.about) | {"run": plan.about["run"] | {"seed": 6}}), other)
    shutil.copytree(_ran(other), tmp_path / "plan.tasks")
    assert missing_tasks(path) == (0, 1), "names tell"
    for file, unit in zip(sorted((tmp_path / "plan.tasks").iterdir()), plan.units, strict=True):
        file.rename(file.with_name(plan.unit_name(unit)))
    assert missing_tasks(path) == (0, 1), "contents tell"


def _ran(path: Path) -> Path:
    for index in range(len(read_plan(path).tasks)):
        run_task(path, index)
    return path.with_name(f"{path.stem}.tasks")


def test_a_case_or_data_that_changed_is_refused(case: Path, tmp_path: Path) -> None:
    path = planned(case, tmp_path, 2)
    held = case / "heldout.npz"
    with np.load(held, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    _ran(path)
    np.savez(held, **(arrays | {"x": arrays["x"] + 1}))
    for step in (lambda: collect(path), lambda: run_task(_emptied(path), 0)):
        with pytest.raises(InputError, match="the data of .* is not what it was when the run was planned"):
            step()
    np.savez(held, **arrays)
    run_task(path, 0)
    data_file = max(case.rglob("*.data-00000-of-00001"))
    data_file.write_bytes(data_file.read_bytes()[:-4] + b"abcd")
    with pytest.raises(InputError, match="is not what it was when the run was planned"):
        read_plan(path).recipes[0].prepare()


def _emptied(path: Path) -> Path:
    shutil.rmtree(path.with_name("plan.tasks"))
    return path


def test_a_plan_that_is_none_is_refused(case: Path, tmp_path: Path) -> None:
    path = planned(case, tmp_path, 2)
    content = json.loads(path.read_text())

    def refused(kind: type[Exception], message: str, text: str) -> None:
        path.write_text(text)
        with pytest.raises(kind, match=message):
            read_plan(path)

    refused(InputError, "cannot be read as a plan", "{")
    refused(InputError, "is not a plan", "[1]")
    refused(UnsupportedError, "bprune-plan 9", json.dumps(content | {"schema": "bprune-plan 9"}))
    refused(DamagedFileError, "was altered", json.dumps(content | {"out": "elsewhere.h5"}))
    refused(DamagedFileError, "is damaged", json.dumps(content | {"tasks": 3}))
    path.unlink()
    with pytest.raises(MissingFileError, match="there is no plan"):
        run_task(path, 0)


def test_impossible_numbers_are_refused(case: Path, tmp_path: Path) -> None:
    path = planned(case, tmp_path, 2)
    for index in (-1, 2):
        with pytest.raises(UsageError, match=f"there is no task {index}; the plan has 2"):
            run_task(path, index)
    with pytest.raises(UsageError, match="number of tasks is 0"):
        infer_plan(case, tmp_path / "r.h5", 0)
    with pytest.raises(UsageError, match="draws noise in the order of its calls"):
        infer_plan(case, tmp_path / "r.h5", 2, engine="graph")


@pytest.mark.parametrize(("engine", "tasks", "expected"), [("native", 2, 2), ("native", 9, 9), ("graph", 9, 3)])
def test_a_sweep_is_planned(samples: Path, tmp_path: Path, engine: str, tasks: int, expected: int) -> None:
    case = load_case(samples / "digits_fc")
    network, draws = read_network(case), Draws(4, 1, engine)
    prepared = prepare_draws(case, network, network.masks, draws)
    source = DataSource(examples=72)
    data = source.read(case, prepared.engine)
    grid = Grid(Rule(None, 0.0), (0.5, 0.8))
    plan = plan_sweep(
        Study(case, network, data, draws), prepared, grid, source, tmp_path / "s.h5", tasks=tasks, command="planned"
    )
    assert len(plan.tasks) == expected
    write_plan(plan, tmp_path / "plan.json")
    _ran(tmp_path / "plan.json")
    found = collect(tmp_path / "plan.json")
    assert isinstance(found, Sweep)
    alone = bprune.sweep(case, data, sparsities=[0.5, 0.8], mc_iters=4, seed=1, engine=engine)
    assert values_of(found) == values_of(alone)
    assert (found.notes, found.options, found.finished) == (alone.notes, alone.options, True)


def values_of(sweep: Sweep) -> list[str]:
    """The points without their times."""
    return [repr(dataclasses.replace(point, draw_us=0.0)) for point in sweep.points]


def test_files_of_tasks_hold_arrays_alone(case: Path, tmp_path: Path) -> None:
    path = planned(case, tmp_path, 3)
    with h5py.File(run_task(path, 0).files[0]) as file:
        assert all(item.dtype.kind in "fiu" for item in file.values())
