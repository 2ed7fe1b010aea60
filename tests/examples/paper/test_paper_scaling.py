"""The numbers of `examples/paper/scaling.py`, from made logs; what it trains itself is `train.py`'s to test."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from bprune.errors import DamagedFileError, MissingFileError, UsageError
from examples.paper.flops import training_flops
from examples.paper.log import COLUMNS, HEADER_FILE, ROWS_FILE
from examples.paper.scaling_pictures import draw_all
from examples.paper.scaling_report import Training, csv_text, measure, read_training
from tests.examples.command_line import run_example


def write_log(
    folder: Path, *, workers: int, bayesian: bool, rate: float, accuracies: tuple[float, ...], batch: int = 100
) -> Path:
    """A log of epochs that take two seconds per worker; the first has one step and no speed."""
    folder.mkdir(parents=True)
    header = {"model": "bnn_fc", "bayesian": bayesian, "workers": workers, "batch": batch, "parameters": 538_122}
    (folder / HEADER_FILE).write_text(json.dumps(header))
    rows = [[1, 1, 100 * workers, 2.0 / workers, "", "", 2.0, 0.1, 0.2]]
    for epoch, accuracy in enumerate(accuracies, 2):
        speed, deviation = rate * (0.9 if epoch % 2 else 1.1), 3.0 if epoch % 2 else 4.0
        rows.append([epoch, 10, 1000 * workers, 2.0 / workers, speed, deviation, 1.0, 0.5, accuracy])
    lines = [",".join(map(str, row)) for row in [COLUMNS, *rows]]
    (folder / ROWS_FILE).write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture
def folders(tmp_path: Path) -> list[Path]:
    """A BNN on 1, 2 and 4 workers with a half-perfect last step, and its CNN, three times as fast, on 1 and 2."""
    made = []
    for bayesian, rates in ((True, {1: 100.0, 2: 180.0, 4: 200.0}), (False, {1: 300.0, 2: 540.0})):
        for workers, rate in rates.items():
            folder = tmp_path / f"{bayesian}-{workers}"
            made.append(write_log(folder, workers=workers, bayesian=bayesian, rate=rate, accuracies=(0.7, 0.9)))
    return made


def test_speed_efficiency_and_ratio(folders: list[Path]) -> None:
    found = {
        (item.training.kind, item.training.workers): item
        for item in measure([read_training(folder) for folder in folders], 0.85, {("bnn_fc", True): 7})
    }
    assert {key: item.samples_per_s for key, item in found.items()} == pytest.approx(
        {("BNN", 1): 100, ("BNN", 2): 180, ("BNN", 4): 200, ("CNN", 1): 300, ("CNN", 2): 540}
    )
    efficiencies = {("BNN", 1): 1, ("BNN", 2): 0.9, ("BNN", 4): 0.5, ("CNN", 1): 1, ("CNN", 2): 0.9}
    assert {key: item.efficiency for key, item in found.items()} == pytest.approx(efficiencies)
    assert found["BNN", 1].samples_per_s_stddev == pytest.approx(12.5**0.5)
    assert found["BNN", 2].time_ratio == pytest.approx(3)
    assert found["BNN", 4].time_ratio is None, "there is no CNN on four workers"
    assert found["CNN", 2].time_ratio is None
    assert found["BNN", 1].seconds_to_accuracy == pytest.approx(6)
    assert found["BNN", 4].seconds_to_accuracy == pytest.approx(1.5)
    assert (found["BNN", 4].flops, found["CNN", 1].flops) == (7, None)


def test_without_one_worker_the_fewest_are_the_baseline(folders: list[Path]) -> None:
    found = measure([read_training(folder) for folder in folders[1:3]], 0.95)
    assert [(item.baseline_workers, round(item.efficiency, 4)) for item in found] == [(2, 1.0), (2, 0.5556)]
    assert [item.seconds_to_accuracy for item in found] == [None, None]


def test_the_table_leaves_out_what_is_not_known(folders: list[Path]) -> None:
    table = csv_text(measure([read_training(folder) for folder in folders[2:4]], None, {("bnn_fc", True): 2_000_000}))
    rows = list(csv.DictReader(io.StringIO(table)))
    assert [row["kind"] for row in rows] == ["BNN", "CNN"]
    assert (rows[0]["samples_per_s"], rows[0]["flops_per_example"], rows[0]["gflops_per_s"]) == (
        "200",
        "2000000",
        "0.4",
    )
    assert (rows[1]["seconds_to_accuracy"], rows[1]["gflops_per_s"], rows[1]["time_over_cnn"]) == ("", "", "")


def test_logs_that_cannot_be_compared_are_refused(folders: list[Path], tmp_path: Path) -> None:
    bnn = read_training(folders[0])
    with pytest.raises(UsageError, match="two logs are of BNN bnn_fc on 1 workers"):
        measure([bnn, bnn], None)
    other = read_training(write_log(tmp_path / "b", workers=8, bayesian=True, rate=1.0, accuracies=(0.1,), batch=50))
    with pytest.raises(UsageError, match="different batches on a worker: 50, 100"):
        measure([bnn, other], None)
    with pytest.raises(MissingFileError, match="has no training.json"):
        read_training(tmp_path / "nowhere")


@pytest.mark.parametrize("damage", ["no speed", "no column", "no json", "no object"])
def test_damaged_logs_are_refused(folders: list[Path], damage: str) -> None:
    header, rows = folders[0] / HEADER_FILE, folders[0] / ROWS_FILE
    if damage == "no speed":
        rows.write_text("\n".join(rows.read_text().splitlines()[:2]) + "\n")
    elif damage == "no column":
        rows.write_text(rows.read_text().replace("samples_per_s,", "speed,"))
    else:
        header.write_text("{" if damage == "no json" else "[]")
    with pytest.raises(DamagedFileError, match="has no log of a training that tells its speed"):
        read_training(folders[0])


def test_pictures_are_drawn_for_what_there_is(folders: list[Path], tmp_path: Path) -> None:
    trainings: list[Training] = [read_training(folder) for folder in folders]
    written = draw_all(measure(trainings, 0.85), tmp_path, 0.85)
    assert [path.name for path in written] == "throughput.png efficiency.png accuracy.png bnn-over-cnn.png".split()
    alone = draw_all(measure(trainings[:1], None), tmp_path, None)
    assert [path.name for path in alone] == "throughput.png efficiency.png accuracy.png".split()
    assert all(path.stat().st_size > 5000 for path in [*written, *alone])


def test_operations_are_those_of_the_layers() -> None:
    """A dense layer of n weights: 2n forward, and backward 2n for weights and 2n for inputs, but the first layer's."""
    weights = (784 * 256, 256 * 256, 256 * 10)
    dense = 2 * (3 * sum(weights) - weights[0])
    assert training_flops("bnn_fc", False, batch=100) == pytest.approx(dense, rel=0.01)
    bayesian = training_flops("bnn_fc", True, batch=100)
    assert 2 * dense < bayesian < 3 * dense, "Flipout does everything twice; the divergence is shared by the batch"


def test_it_reads_logs_as_a_command(folders: list[Path], tmp_path: Path) -> None:
    lines = run_example("paper/scaling.py", "--logs", *folders, "--accuracy", "0.85", "--out", tmp_path / "out")
    assert lines[0].startswith("model,kind,workers,batch,parameters,samples_per_s")
    assert len(lines) == 1 + 5 + 5
    assert (tmp_path / "out" / "scaling.csv").read_text().splitlines() == lines[:6]
