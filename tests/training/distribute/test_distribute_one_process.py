"""What needs one process only: the choice of a mode, the state file, and Horovod as a module with the few calls."""

from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from bprune.errors import BPruneError, DamagedFileError, EngineError, InputError, MissingExtraError, UsageError
from bprune.training.distribute import Mode, distribute
from bprune.training.distribute.choose import default_mode
from bprune.training.distribute.digest import weight_digest
from bprune.training.distribute.resume import STATE_FILE, read_state
from tests.training.distribute import alone, networks

LAUNCHED = {"OMPI_COMM_WORLD_RANK": "1", "OMPI_COMM_WORLD_SIZE": "4"}


@pytest.fixture(autouse=True)
def _not_launched(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TF_CONFIG", "PMI_RANK", "SLURM_PROCID", "OMPI_COMM_WORLD_RANK", "PMIX_RANK"):
        monkeypatch.delenv(name, raising=False)


def test_the_mode_is_that_of_the_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    assert default_mode() is Mode.NONE
    for name, value in LAUNCHED.items():
        monkeypatch.setenv(name, value)
    assert default_mode() is Mode.MPI
    monkeypatch.setenv("TF_CONFIG", "{}")
    assert default_mode() is Mode.MULTIWORKER


@pytest.mark.parametrize(
    ("arguments", "environment", "error", "message"),
    [
        ({"mode": "mpy"}, {}, UsageError, "no way to distribute training named 'mpy'\nAllowed: none, mpi, multiworker"),
        ({"mode": "none", "seed": -1}, {}, UsageError, "seed=-1 must be at least 0"),
        ({"mode": "none", "patience_s": 0.0}, {}, UsageError, "patience_s=0 must be greater than 0"),
        ({"mode": "none", "port": 5000}, {}, UsageError, "port=5000 does not go with 'none'"),
        ({"mode": "multiworker", "port": 80}, {}, UsageError, "port=80 must be at least 1024"),
        ({"mode": "ps", "parameter_servers": 0}, {}, UsageError, "parameter_servers=0 must be at least 1"),
        ({"mode": "none"}, LAUNCHED, UsageError, "one of 4 processes that a launcher started"),
        ({"mode": "multiworker"}, {}, UsageError, "TF_CONFIG is not set"),
        ({"mode": "ps"}, {}, UsageError, "TF_CONFIG is not set"),
        ({"mode": "horovod"}, {}, MissingExtraError, "Horovod is not installed"),
    ],
)
def test_what_cannot_run_is_refused(
    arguments: dict[str, Any],
    environment: dict[str, str],
    error: type[BPruneError],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(error, match=message):
        distribute(**arguments)


def fit(workers: Any, folder: Path | None, epochs: int, model: Any = None, **options: Any) -> Any:
    """Train a network without noise; it starts from the same values each time."""
    trained = model or networks.plain()
    networks.set_values(trained, start=1.0)
    trained.compile(workers.optimizer(tf_keras.optimizers.Adam(0.01)), networks.loss())
    data = workers.dataset(networks.batches(8))
    workers.fit(trained, data, epochs=epochs, resume_dir=folder, verbose=0, **options)
    return trained


def test_one_worker_is_plain_keras_and_goes_on_where_it_was(tmp_path: Path) -> None:
    with distribute("none", seed=3) as workers:
        fit(workers, tmp_path, epochs=2)
        assert read_state(tmp_path / STATE_FILE)[0] == 2
        resumed = fit(workers, tmp_path, epochs=4)
        np.testing.assert_allclose(networks.sums(resumed), alone.noise_free(), rtol=1e-6)
        whole = fit(workers, None, epochs=4)
        assert weight_digest(resumed.variables) == weight_digest(whole.variables)
        again = fit(workers, tmp_path, epochs=4)
        assert weight_digest(again.variables) == weight_digest(whole.variables), "there is nothing left to train"


def test_the_state_of_another_network_and_a_damaged_one_are_refused(tmp_path: Path) -> None:
    with distribute("none", seed=3) as workers:
        fit(workers, tmp_path, epochs=1)
        layers = [tf_keras.layers.Dense(9, activation="tanh"), tf_keras.layers.Dense(networks.CLASSES)]
        other = tf_keras.Sequential([tf_keras.Input((networks.FEATURES,)), *layers])
        with pytest.raises(InputError, match="is the state of another network or optimizer"):
            fit(workers, tmp_path, epochs=2, model=other)
        content = (tmp_path / STATE_FILE).read_bytes()
        for damaged in (content[: len(content) // 2], b"", b"not a state"):
            (tmp_path / STATE_FILE).write_bytes(damaged)
            with pytest.raises(DamagedFileError, match="is not the state of a training"):
                fit(workers, tmp_path, epochs=2)


def test_steps_must_be_known_and_shards_must_not_be_empty() -> None:
    with distribute("none", seed=3) as workers:
        model = networks.plain()
        model.compile("sgd", networks.loss())
        endless = workers.dataset(lambda index, count: networks.batches(8)(index, count).repeat())
        with pytest.raises(UsageError, match="the number of batches of an epoch is not known"):
            workers.fit(model, endless, epochs=1)
        with pytest.raises(UsageError, match="epochs=0 must be at least 1"):
            workers.fit(model, endless, epochs=0)
        with pytest.raises(UsageError, match="a worker has no batch"):
            workers.dataset(lambda index, count: networks.batches(8)(index, count).take(0))
        with pytest.raises(UsageError, match="the model is not compiled"):
            workers.fit(networks.plain(), endless, epochs=1, steps_per_epoch=1)


class TwinHorovod(types.ModuleType):
    """The few calls of Horovod, as if a second process did the same as this one."""

    Average = "average"

    def __init__(self, others_gradient: float = 1.0) -> None:
        super().__init__("horovod.tensorflow")
        self.others_gradient = others_gradient

    def init(self) -> None: ...
    def rank(self) -> int:
        return 0

    def size(self) -> int:
        return 2

    def local_rank(self) -> int:
        return 0

    def allreduce(self, tensor: Any, op: str) -> Any:
        assert op == self.Average
        return tensor * (1 + self.others_gradient) / 2

    def allgather(self, tensor: Any) -> Any:
        return tf.concat([tensor, tensor], 0)

    def broadcast(self, tensor: Any, root_rank: int) -> Any:
        assert root_rank == 0
        return tensor


def horovod_kl(monkeypatch: pytest.MonkeyPatch, others_gradient: float) -> list[float]:
    monkeypatch.setitem(sys.modules, "horovod", types.ModuleType("horovod"))
    monkeypatch.setitem(sys.modules, "horovod.tensorflow", TwinHorovod(others_gradient))
    with distribute("horovod", seed=3) as workers:
        model = networks.bayesian(networks.EXAMPLES)
        model.compile(workers.optimizer(tf_keras.optimizers.SGD(1.0)), networks.no_loss)
        networks.set_values(model, start=1.0)
        data = workers.dataset(networks.batches(4))
        with pytest.warns(UserWarning, match="draw the same noise"):  # the twin has this process's seed
            workers.fit(model, data, epochs=1, steps_per_epoch=4, verbose=0)
        return networks.sums(model)


def test_horovod_averages_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    np.testing.assert_allclose(horovod_kl(monkeypatch, 1.0), alone.kl_only(), rtol=1e-6)
    assert not np.allclose(horovod_kl(monkeypatch, 3.0), alone.kl_only(), rtol=1e-3), "the other's gradient must show"


def test_an_incomplete_horovod_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "horovod", types.ModuleType("horovod"))
    monkeypatch.setitem(sys.modules, "horovod.tensorflow", types.ModuleType("horovod.tensorflow"))
    with pytest.raises(EngineError, match="horovod.tensorflow has no init, rank, size"):
        distribute("horovod")
