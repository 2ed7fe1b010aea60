"""What the logs of trainings say about speed: samples per second, efficiency, time to an accuracy, BNN against CNN."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bprune.errors import DamagedFileError, MissingFileError, UsageError
from examples.paper.log import COLUMNS, HEADER_FILE, ROWS_FILE

__all__ = ["Measurement", "Training", "csv_text", "measure", "read_training"]


@dataclass(frozen=True)
class Training:
    """One training, as its log tells.

    Attributes:
        model: The network's name.
        bayesian: Whether its layers have posteriors.
        workers: How many processes trained it.
        batch: Examples of a step on one worker.
        parameters: All its numbers.
        rates: Samples per second of all workers together, by epoch; epochs of one step have none.
        deviations: Their standard deviations over steps.
        seconds: Time since the start at the end of every epoch, `[epoch]`.
        accuracies: Accuracy on the validation data, or on the training data where there is none, `[epoch]`.
        validated: Whether the accuracies are those on the validation data.
    """

    model: str
    bayesian: bool
    workers: int
    batch: int
    parameters: int
    rates: tuple[float, ...]
    deviations: tuple[float, ...]
    seconds: tuple[float, ...]
    accuracies: tuple[float, ...]
    validated: bool

    @property
    def kind(self) -> str:
        """BNN or CNN."""
        return "BNN" if self.bayesian else "CNN"


def read_training(folder: Path) -> Training:
    """Read the log that `train.py` left in a folder.

    Raises:
        MissingFileError: If there is none.
        DamagedFileError: If it is not such a log, or has no epoch with a speed.
    """
    for name in (HEADER_FILE, ROWS_FILE):
        if not (folder / name).is_file():
            raise MissingFileError(f"{folder} has no {name}", hint="Name folders that examples/paper/train.py wrote.")
    try:
        header = json.loads((folder / HEADER_FILE).read_text(encoding="utf-8"))
        with open(folder / ROWS_FILE, newline="", encoding="utf-8") as stream:
            rows = list(csv.DictReader(stream))
        return _training(header, rows)
    except (KeyError, TypeError, ValueError) as error:
        raise DamagedFileError(
            f"{folder} has no log of a training that tells its speed: {error}",
            hint=f"{ROWS_FILE} needs the columns {', '.join(COLUMNS)} and an epoch of two steps or more.",
        ) from None


def _training(header: dict[str, Any], rows: list[dict[str, str]]) -> Training:
    timed = [row for row in rows if row["samples_per_s"]]
    if not timed:
        raise ValueError("no epoch has a speed")
    validated = all(row["val_accuracy"] for row in rows)
    elapsed, seconds = 0.0, []
    for row in rows:
        elapsed += float(row["seconds"])
        seconds.append(elapsed)
    return Training(
        model=str(header["model"]),
        bayesian=bool(header["bayesian"]),
        workers=int(header["workers"]),
        batch=int(header["batch"]),
        parameters=int(header["parameters"]),
        rates=tuple(float(row["samples_per_s"]) for row in timed),
        deviations=tuple(float(row["samples_per_s_stddev"] or "nan") for row in timed),
        seconds=tuple(seconds),
        accuracies=tuple(float(row["val_accuracy" if validated else "accuracy"]) for row in rows),
        validated=validated,
    )


@dataclass(frozen=True)
class Measurement:
    """A training beside the others of its kind.

    Attributes:
        training: The training.
        samples_per_s: Mean over epochs, of all workers together.
        samples_per_s_stddev: Over the steps of an epoch: the root of the mean variance.
        baseline_workers: Workers of the training of this network with the fewest.
        efficiency: Weak scaling: T1 / (T_N * N) with T the time of one example; where there is no training on one
            worker, that of `baseline_workers` counts as perfect.
        seconds_to_accuracy: When the target was reached first, at the end of an epoch; None where it was not.
        time_ratio: Time of an example over that of the same CNN on as many workers; None for a CNN, or without one.
        flops: Floating-point operations of a training step, for one example; None where they were not counted.
    """

    training: Training
    samples_per_s: float
    samples_per_s_stddev: float
    baseline_workers: int
    efficiency: float
    seconds_to_accuracy: float | None
    time_ratio: float | None
    flops: int | None


def measure(
    trainings: Sequence[Training], target: float | None, flops: dict[tuple[str, bool], int] | None = None
) -> list[Measurement]:
    """Compare trainings, by network, kind and number of workers.

    Args:
        trainings: The trainings.
        target: An accuracy in (0, 1] whose time is wanted, or None.
        flops: Operations of a training step for one example, by network and whether it is Bayesian.

    Raises:
        UsageError: If two trainings are of the same network, kind and number of workers, or of one network with
            different batches.
    """
    ordered = sorted(trainings, key=lambda item: (item.model, not item.bayesian, item.workers))
    seen: dict[tuple[str, bool, int], Training] = {}
    for item in ordered:
        key = (item.model, item.bayesian, item.workers)
        if key in seen:
            raise UsageError(
                f"two logs are of {item.kind} {item.model} on {item.workers} workers", hint="Leave one out."
            )
        seen[key] = item
    for model in {item.model for item in ordered}:
        batches = sorted({item.batch for item in ordered if item.model == model})
        if len(batches) > 1:
            raise UsageError(
                f"the trainings of {model} have different batches on a worker: {', '.join(map(str, batches))}",
                hint="Weak scaling keeps the batch of a worker; train them alike.",
            )
    return [_measured(item, seen, target, (flops or {}).get((item.model, item.bayesian))) for item in ordered]


def _measured(
    item: Training, seen: dict[tuple[str, bool, int], Training], target: float | None, flops: int | None
) -> Measurement:
    alike = [other for other in seen.values() if (other.model, other.bayesian) == (item.model, item.bayesian)]
    first = min(alike, key=lambda other: other.workers)
    cnn = seen.get((item.model, False, item.workers))
    variances = [value**2 for value in item.deviations if not math.isnan(value)]
    reached = [
        time for time, accuracy in zip(item.seconds, item.accuracies, strict=True) if target and accuracy >= target
    ]
    return Measurement(
        training=item,
        samples_per_s=_rate(item),
        samples_per_s_stddev=math.sqrt(sum(variances) / len(variances)) if variances else math.nan,
        baseline_workers=first.workers,
        efficiency=(_rate(item) / item.workers) / (_rate(first) / first.workers),
        seconds_to_accuracy=reached[0] if reached else None,
        time_ratio=_rate(cnn) / _rate(item) if cnn is not None and item.bayesian else None,
        flops=flops,
    )


def _rate(item: Training) -> float:
    return sum(item.rates) / len(item.rates)


def csv_text(measurements: Sequence[Measurement]) -> str:
    """The measurements as CSV; what is not known is empty."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(
        "model kind workers batch parameters samples_per_s samples_per_s_stddev baseline_workers efficiency "
        "seconds_to_accuracy time_over_cnn flops_per_example gflops_per_s".split()
    )
    for item in measurements:
        training = item.training
        speed = item.flops * item.samples_per_s / 1e9 if item.flops else None
        numbers: list[float | None] = [
            item.samples_per_s,
            item.samples_per_s_stddev,
            item.baseline_workers,
            item.efficiency,
        ]
        numbers += [item.seconds_to_accuracy, item.time_ratio, item.flops, speed]
        first = [training.model, training.kind, training.workers, training.batch, training.parameters]
        writer.writerow([*first, *(_cell(number) for number in numbers)])
    return stream.getvalue()


def _cell(number: float | None) -> str:
    if number is None or math.isnan(number):
        return ""
    return str(number) if isinstance(number, int) else f"{number:.6g}"
