"""What the options of `train.py` mean, how the weight of the divergence rises, and how steps are timed."""

from __future__ import annotations

import argparse
import csv
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from bprune.errors import UsageError
from bprune.training.distribute import Mode
from examples.paper import train
from examples.paper.annealing import KlAnnealing
from examples.paper.data import Images
from examples.paper.log import TrainingLog


def parsed(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> argparse.Namespace:
    monkeypatch.setattr(sys, "argv", ["train.py", "--data", "x", "--out", "out", *arguments])
    return train.parse()


def images(count: int) -> Images:
    values = np.zeros((count, 28, 28), np.uint8)
    return Images("test", values, np.zeros(count, int), values[:1], np.zeros(1, int))


def planned(
    monkeypatch: pytest.MonkeyPatch, examples: int, workers: int, *arguments: str, mode: Mode = Mode.MPI
) -> train.Plan:
    options = parsed(monkeypatch, *arguments)
    return train.plan(options, images(examples), SimpleNamespace(size=workers, mode=mode))


def test_each_network_has_the_papers_choices(monkeypatch: pytest.MonkeyPatch) -> None:
    for model in ("vgg16", "resnet18"):
        chosen = planned(monkeypatch, 5000, 4, "--model", model)
        assert chosen.learning_rate == pytest.approx(4e-4)
        assert (chosen.setting.optimizer, chosen.setting.batch, chosen.setting.scale_mean) == ("Adam", 256, -9.0)
        assert (chosen.steps_per_epoch, chosen.bayesian, chosen.kl_weight) == (4, True, 1.0)
    for model in ("bnn_conv", "bnn_fc"):
        chosen = planned(monkeypatch, 5000, 4, "--model", model)
        assert (chosen.learning_rate, chosen.steps_per_epoch) == (1e-3, 12)
        assert (chosen.setting.optimizer, chosen.setting.batch, chosen.setting.scale_mean) == ("RMSprop", 100, -3.0)


def test_workers_that_take_turns_make_steps_of_one_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = planned(monkeypatch, 5000, 4, "--model", "vgg16", mode=Mode.PS)
    assert (chosen.batches_per_step, chosen.steps_per_epoch, chosen.learning_rate) == (1, 19, 1e-4)


def test_options_go_before_the_papers_choices(monkeypatch: pytest.MonkeyPatch) -> None:
    options = (
        "--batch",
        "8",
        "--learning-rate",
        "0.5",
        "--epochs",
        "3",
        "--final-rate",
        "0",
        "--kl-anneal-epochs",
        "0.5",
    )
    chosen = planned(monkeypatch, 100, 4, "--model", "vgg16", *options, "--kl-weight", "0", "--steps-per-epoch", "9")
    assert (chosen.learning_rate, chosen.steps_per_epoch, chosen.kl_weight) == (0.5, 9, 0.0)
    setting = chosen.setting
    assert (setting.batch, setting.epochs, setting.final_rate, setting.kl_anneal_epochs) == (8, 3, 0.0, 0.5)
    rate = train.make_optimizer(chosen)._learning_rate
    assert float(rate(0)) == pytest.approx(0.5)
    assert float(rate(27)) == pytest.approx(0.0, abs=1e-9)


def test_a_constant_rate_is_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    optimizer = train.make_optimizer(planned(monkeypatch, 100, 1, "--model", "bnn_fc"))
    assert float(optimizer.learning_rate) == pytest.approx(1e-3)
    assert optimizer.epsilon == 1e-10


def test_too_few_examples_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="150 examples are not enough for a batch of 100 on each of 2 workers"):
        planned(monkeypatch, 150, 2, "--model", "bnn_fc")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--model", "bnn_fc", "--deterministic", "--kl-weight", "1"), "plain layers have no divergence"),
        (("--model", "bnn_fc", "--deterministic", "--kl-anneal-epochs", "0"), "plain layers have no divergence"),
        (("--model", "bnn_conv", "--augment"), "goes with CIFAR-10"),
        (("--model", "lenet"), "invalid choice: 'lenet'"),
        (("--model", "bnn_fc", "--epochs", "0"), "0 is less than 1"),
        (("--model", "bnn_fc", "--learning-rate", "0"), "0 is not above 0"),
        (("--model", "bnn_fc", "--final-rate", "1.5"), "1.5 is not from 0 to 1"),
        (("--model", "bnn_fc", "--kl-weight", "nan"), "nan is not from 0"),
        (("--model", "bnn_fc", "--bayesian", "--deterministic"), "not allowed with argument --bayesian"),
    ],
)
def test_what_makes_no_sense_is_refused(
    arguments: tuple[str, ...], message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        parsed(monkeypatch, *arguments)
    assert message in capsys.readouterr().err


def annealed(epochs: float, start: int) -> list[float]:
    """The weight at every step of epochs `start` to 3, four steps each."""
    found: list[float] = []
    weight = SimpleNamespace(value=-1.0)
    weight.assign = lambda value: setattr(weight, "value", value)
    callback = KlAnnealing(weight, final=2.0, epochs=epochs)
    callback.set_params({"steps": 4})
    for epoch in range(start, 3):
        callback.on_epoch_begin(epoch)
        for batch in range(4):
            callback.on_train_batch_begin(batch)
            found.append(weight.value)
    return found


def test_the_weight_rises_to_its_value_and_stays() -> None:
    assert annealed(2.0, 0) == [0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0, 2.0, 2.0, 2.0]
    assert annealed(0.5, 0)[:4] == [0.0, 1.0, 2.0, 2.0]
    assert annealed(2.0, 1) == annealed(2.0, 0)[4:]  # a training that goes on
    assert annealed(0.0, 0) == [2.0] * 12


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def run_epoch(log: TrainingLog, clock: Clock, epoch: int, durations_s: list[float], **logs: float) -> None:
    log.on_epoch_begin(epoch)
    for batch, duration_s in enumerate(durations_s):
        clock.now_s += duration_s
        log.on_train_batch_end(batch)
    clock.now_s += 50.0  # validation
    log.on_epoch_end(epoch, logs)


def rows_of(folder: Path) -> list[dict[str, Any]]:
    with open(folder / "training.csv", newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def test_steps_are_timed_without_compilation_and_validation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(time, "perf_counter", clock)
    log = TrainingLog(tmp_path, {"workers": 4}, samples_per_step=8, chief=True)
    run_epoch(log, clock, 0, [20.0, 1.0, 2.0], loss=3.25, accuracy=0.5)
    run_epoch(log, clock, 1, [2.0, 2.0, 1.0], loss=2.0, accuracy=0.75, val_accuracy=0.625)
    first, second = rows_of(tmp_path)
    assert list(first.values()) == ["1", "3", "24", "23.0", "5.33333", "2.82843", "3.25", "0.5", ""]
    assert list(second.values()) == ["2", "3", "24", "5.0", "4.8", "2.3094", "2.0", "0.75", "0.625"]
    # Goes on after the first epoch: the row of the second is replaced.
    again = TrainingLog(tmp_path, {"workers": 4}, samples_per_step=8, chief=True)
    run_epoch(again, clock, 1, [9.0], loss=1.0, accuracy=1.0)
    assert rows_of(tmp_path)[0] == first
    assert list(rows_of(tmp_path)[1].values()) == ["2", "1", "8", "9.0", "", "", "1.0", "1.0", ""]


def test_asynchronous_steps_are_timed_by_the_epoch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(time, "perf_counter", clock)
    log = TrainingLog(tmp_path, {}, samples_per_step=8, chief=True, asynchronous=True)
    run_epoch(log, clock, 0, [20.0, 0.0], loss=3.0)
    run_epoch(log, clock, 1, [0.0, 0.0], loss=2.0)
    first, second = rows_of(tmp_path)
    assert list(first.values())[1:7] == ["2", "16", "70.0", "", "", "3.0"]
    assert list(second.values())[1:7] == ["2", "16", "50.0", "0.32", "", "2.0"]  # of 16 examples in 50 s


def test_only_the_chief_writes_the_log(tmp_path: Path) -> None:
    log = TrainingLog(tmp_path / "log", {}, samples_per_step=1, chief=False)
    run_epoch(log, Clock(), 0, [], loss=1.0)
    assert not (tmp_path / "log").exists()
