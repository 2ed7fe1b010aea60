"""Two workers of tf.distribute over loopback: the chief alone writes, and the case is that of serial training."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bprune.case import load_case
from bprune.engines.graph import GraphEngine
from bprune.posterior import read_network

pytestmark = pytest.mark.slow


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port: int = probe.getsockname()[1]
    return port


def test_two_workers_write_one_case(tmp_path: Path) -> None:
    cluster = {"worker": [f"localhost:{_free_port()}" for _ in range(2)]}
    script = Path(__file__).with_name("worker.py")
    workers = []
    for index in range(2):
        configuration = json.dumps({"cluster": cluster, "task": {"type": "worker", "index": index}})
        workers.append(
            subprocess.Popen(
                [sys.executable, str(script), str(tmp_path / f"case-{index}")],
                env={**os.environ, "TF_CONFIG": configuration},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
    outputs = [worker.communicate(timeout=400) for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0], outputs[0][1][-2000:] + outputs[1][1][-2000:]
    assert not (tmp_path / "case-1").exists(), "only the chief writes"

    case = load_case(tmp_path / "case-0")
    assert len(case.files.iterations) == 2
    assert [layer.name for layer in case.layer_names.layers] == ["den", "norm", "logits"]
    network = read_network(case)
    assert [item.name for item in network.posteriors] == ["den/kernel", "logits/kernel"]
    expected = json.loads(outputs[0][0].split("moving mean ")[1])
    np.testing.assert_allclose(case.checkpoint.read("norm/moving_mean"), expected, rtol=1e-6)
    draws = GraphEngine(case, network, network.masks, seed=1).draw(np.ones((2, 6), np.float32), range(2))
    assert np.isfinite(draws.values).all()
