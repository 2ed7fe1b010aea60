"""A chief, a parameter server and a worker."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bprune.case import load_case
from bprune.posterior import read_network
from tests.training.distribute import alone
from tests.training.distribute.jobs import cluster_job

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("distribute")]


def test_one_worker_is_serial_training_and_all_end_with_the_chief(tmp_path: Path) -> None:
    jobs = cluster_job(tmp_path, "ps", "whole", ("chief", "ps", "worker"))
    assert [job.code for job in jobs] == [0, 0, 0], jobs[0].errors[-3000:]
    for job in jobs[1:]:
        assert "has ended; so does" in job.errors
    report = jobs[0].report("whole", 0)
    np.testing.assert_allclose(report["kl"], alone.kl_only(), rtol=1e-6)
    assert len(report["case"]["history"]["loss"]) == 2
    case = load_case(tmp_path / "case-0")
    assert [item.number for item in case.files.iterations] == [7, 14]
    assert [item.name for item in read_network(case).posteriors] == ["den/kernel", "logits/kernel"]
    np.testing.assert_allclose(case.checkpoint.read("norm/moving_mean"), report["case"]["moving_mean"], rtol=1e-6)
