"""Two workers of tf.distribute, with TF_CONFIG, against one process alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tf_keras

from bprune.case import load_case
from bprune.posterior import read_network
from bprune.training.distribute import distribute
from bprune.training.distribute.resume import STATE_FILE, read_state
from tests.training.distribute import alone, networks
from tests.training.distribute.jobs import Job, cluster_job

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("distribute")]


@pytest.fixture(scope="module")
def jobs(tmp_path_factory: pytest.TempPathFactory) -> list[Job]:
    """The first job, at whose end worker 1 is killed."""
    folder = tmp_path_factory.mktemp("multiworker")
    done = cluster_job(folder, "multiworker", "whole", ("worker", "worker"))
    assert (folder / "whole-0.json").exists(), done[0].errors[-3000:]
    return done


@pytest.fixture(scope="module")
def reports(jobs: list[Job]) -> list[dict[str, Any]]:
    return [job.report("whole", rank) for rank, job in enumerate(jobs)]


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


def test_workers_end_every_epoch_with_equal_weights_and_logs(reports: list[dict[str, Any]]) -> None:
    first, second = (report["case"] for report in reports)
    assert first == second
    assert len(set(first["digests"])) == 2
    assert [report["case"]["steps"] for report in reports] == [6, 6], "25 examples: shards of 13 and 12, batches of 4"


def test_the_case_is_one_of_serial_training(jobs: list[Job], reports: list[dict[str, Any]]) -> None:
    assert not (jobs[0].folder / "case-1").exists(), "only the chief writes"
    case = load_case(jobs[0].folder / "case-0")
    assert [item.number for item in case.files.iterations] == [3, 6]
    assert [item.name for item in read_network(case).posteriors] == ["den/kernel", "logits/kernel"]
    expected = reports[0]["case"]["moving_mean"]
    np.testing.assert_allclose(case.checkpoint.read("norm/moving_mean"), expected, rtol=1e-6)


def test_where_one_worker_stops_all_do_at_the_end_of_the_epoch(reports: list[dict[str, Any]]) -> None:
    assert [report["steps until stopped"] for report in reports] == [4, 4]


def test_equal_seeds_and_open_ports_are_told(jobs: list[Job], reports: list[dict[str, Any]]) -> None:
    assert [len(report["warnings"]) for report in reports] == [1, 1]
    assert ["opens ports on all network interfaces" in job.errors for job in jobs] == [True, False]


def test_a_lost_worker_ends_the_job(jobs: list[Job]) -> None:
    assert jobs[1].code == -9
    assert jobs[0].code != 0
    assert "EngineError: a worker was lost: " in jobs[0].errors


def test_a_killed_job_goes_on_with_one_worker(jobs: list[Job]) -> None:
    folder = jobs[0].folder / "killed"
    assert read_state(folder / STATE_FILE)[0] == 2
    with distribute("none", seed=3) as workers:
        model = networks.plain()
        model.compile(workers.optimizer(tf_keras.optimizers.Adam(0.01)), networks.loss())
        workers.fit(model, workers.dataset(networks.batches(8)), epochs=4, resume_dir=folder, verbose=0)
    np.testing.assert_allclose(networks.sums(model), alone.noise_free(), rtol=1e-6)
