"""Two processes of mpiexec against one process alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bprune.case import load_case
from bprune.posterior import read_network
from tests.training.distribute import alone
from tests.training.distribute.jobs import Job, mpi_job

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("distribute")]


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Job:
    """The first job, at whose end worker 1 is killed; the launcher does not notice."""
    folder = tmp_path_factory.mktemp("mpi")
    done = mpi_job(folder, "mpi", str(folder), "whole")
    assert (folder / "whole-0.json").exists(), done.errors[-3000:]
    return done


@pytest.fixture(scope="module")
def reports(job: Job) -> list[dict[str, Any]]:
    return [job.report("whole", rank) for rank in range(2)]


def test_ranks_and_seeds(reports: list[dict[str, Any]]) -> None:
    assert [(report["rank"], report["size"], report["seed"]) for report in reports] == [(0, 2, 3), (1, 2, 1003)]


def test_kl_divergence_counts_once(reports: list[dict[str, Any]]) -> None:
    expected = alone.kl_only()
    for report in reports:
        np.testing.assert_allclose(report["kl"], expected, rtol=1e-6)
        difference = np.abs(np.array(report["kl of shard"]) / expected - 1)
        assert (difference > 1e-3).any(), "the KL divergence divided by the shard's size must show"


def test_two_workers_are_one_with_twice_the_batch(reports: list[dict[str, Any]]) -> None:
    expected = alone.noise_free()
    for report in reports:
        np.testing.assert_allclose(report["noise free"]["sums"], expected, rtol=1e-6)
        assert len(report["noise free"]["digests"]) == 4


def test_workers_end_every_epoch_with_equal_weights_and_logs(reports: list[dict[str, Any]]) -> None:
    first, second = (report["case"] for report in reports)
    assert first == second
    assert len(set(first["digests"])) == 2
    assert set(first["history"]) == {"loss", "accuracy"}


def test_uneven_shards_make_the_steps_of_the_smaller(reports: list[dict[str, Any]]) -> None:
    assert [report["case"]["steps"] for report in reports] == [6, 6]


def test_the_case_is_one_of_serial_training(job: Job, reports: list[dict[str, Any]]) -> None:
    assert not (job.folder / "case-1").exists(), "only the chief writes"
    case = load_case(job.folder / "case-0")
    assert [item.number for item in case.files.iterations] == [3, 6]
    assert [layer.name for layer in case.layer_names.layers] == ["den", "norm", "logits"]
    assert [item.name for item in read_network(case).posteriors] == ["den/kernel", "logits/kernel"]
    expected = reports[0]["case"]["moving_mean"]
    np.testing.assert_allclose(case.checkpoint.read("norm/moving_mean"), expected, rtol=1e-6)


def test_where_one_worker_stops_all_do(reports: list[dict[str, Any]]) -> None:
    assert [report["steps until stopped"] for report in reports] == [3, 3]


def test_equal_seeds_are_told(reports: list[dict[str, Any]]) -> None:
    for report in reports:
        assert len(report["warnings"]) == 1
        assert "draw the same noise" in report["warnings"][0]


@pytest.mark.parametrize(
    ("attempt", "error"),
    [
        ("jit", "UnsupportedError: XLA cannot compile the exchange"),
        ("optimizer", "UsageError: the model was not compiled with an optimizer that averages"),
        ("sparse", "UnsupportedError: the gradient of embedding/embeddings:0 is sparse"),
        ("loss scale", "UnsupportedError: an optimizer that scales the loss"),
    ],
)
def test_what_cannot_be_averaged_is_refused(reports: list[dict[str, Any]], attempt: str, error: str) -> None:
    for report in reports:
        assert report["refusals"][attempt].startswith(error)


def test_a_lost_worker_ends_the_job(job: Job) -> None:
    assert job.code == 7
    assert "EngineError on worker 0: worker 1 of 2 has not been heard of for 5 s" in job.errors


def test_a_killed_job_goes_on_to_the_same_weights(job: Job, reports: list[dict[str, Any]]) -> None:
    folder: Path = job.folder
    done = mpi_job(folder, "mpi", str(folder), "resume")
    assert done.code == 0, done.errors[-3000:]
    expected = reports[0]["noise free"]
    for rank in range(2):
        resumed = done.report("resume", rank)["noise free"]
        assert resumed["digests"] == expected["digests"][2:]
        assert resumed["sums"] == expected["sums"]
