"""The log of a training: how fast it ran and what it reached, one row an epoch, for people and for `scaling.py`.

`training.json` says what was trained; `training.csv` has the columns of `COLUMNS`.
"""

from __future__ import annotations

import csv
import io
import json
import statistics
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tf_keras

from bprune.atomic import write_text

__all__ = ["COLUMNS", "HEADER_FILE", "ROWS_FILE", "TrainingLog"]

HEADER_FILE = "training.json"
ROWS_FILE = "training.csv"

COLUMNS = (
    *("epoch", "steps", "samples", "seconds", "samples_per_s", "samples_per_s_stddev"),
    *("loss", "accuracy", "val_accuracy"),
)
"""Of an epoch: its number, from 1; the steps; the examples that all workers together used; the wall time of the steps,
validation left out; examples per second, and their standard deviation over steps; means over the epoch; the accuracy of
one draw on the validation data. The first step after a start also compiles: it counts in `seconds`, but not in
`samples_per_s`. With asynchronous steps the first epoch does not count there. What cannot be told is empty: the
deviation of asynchronous steps, `samples_per_s` of one step, `val_accuracy` without validation."""


class TrainingLog(tf_keras.callbacks.Callback):  # type: ignore[misc]
    """Writes the log after every epoch. A training that goes on keeps the rows of the epochs that it does not repeat.

    Args:
        folder: Where the two files go.
        header: What `training.json` says.
        samples_per_step: Examples that all workers together use in a step.
        chief: Whether this process writes.
        asynchronous: Whether steps go on while the next ones start, so that an epoch alone can be timed.
    """

    def __init__(
        self,
        folder: Path,
        header: Mapping[str, Any],
        samples_per_step: int,
        *,
        chief: bool,
        asynchronous: bool = False,
    ) -> None:
        super().__init__()
        self._supports_tf_logs = True
        self._folder = folder
        self._header = header
        self._samples = samples_per_step
        self._chief = chief
        self._asynchronous = asynchronous
        self._rows: list[dict[str, Any]] = []
        self._started = False
        self._begin_s = self._last_s = 0.0
        self._steps = 0
        self._timed_s: list[float] = []

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Take over the rows of earlier epochs, and start the clock."""
        if not self._started:
            self._rows = [row for row in self._written() if int(row["epoch"]) <= epoch] if epoch else []
        self._begin_s = self._last_s = time.perf_counter()
        self._steps = 0
        self._timed_s = []

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Take the time of a step."""
        now_s = time.perf_counter()
        if self._started:
            self._timed_s.append(now_s - self._last_s)
        self._started = True
        self._last_s = now_s
        self._steps += 1

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Write both files."""
        logs = logs or {}
        if self._asynchronous:
            self._time_whole_epoch()
        rates = [self._samples / max(duration_s, 1e-9) for duration_s in self._timed_s]
        row = {
            "epoch": epoch + 1,
            "steps": self._steps,
            "samples": self._steps * self._samples,
            "seconds": _rounded(self._last_s - self._begin_s),
            "samples_per_s": _rounded(self._samples * len(rates) / sum(self._timed_s)) if rates else "",
            "samples_per_s_stddev": _rounded(statistics.stdev(rates))
            if len(rates) > 1 and not self._asynchronous
            else "",
            **{name: _rounded(logs[name]) if name in logs else "" for name in COLUMNS[-3:]},
        }
        self._rows.append(row)
        if self._chief:
            header = json.dumps(self._header, indent=2) + "\n"
            write_text(self._folder / HEADER_FILE, header, overwrite=True)
            write_text(self._folder / ROWS_FILE, self._text(), overwrite=True)

    def _time_whole_epoch(self) -> None:
        """Put the mean time in place of what was taken when the steps were handed out."""
        self._last_s = time.perf_counter()
        mean_s = (self._last_s - self._begin_s) / max(1, self._steps)
        self._timed_s = [mean_s] * self._steps if self._rows else []

    def _written(self) -> list[dict[str, Any]]:
        path = self._folder / ROWS_FILE
        if not self._chief or not path.exists():
            return []
        with open(path, newline="", encoding="utf-8") as stream:
            return list(csv.DictReader(stream))

    def _text(self) -> str:
        stream = io.StringIO()
        writer = csv.DictWriter(stream, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self._rows)
        return stream.getvalue()


def _rounded(value: float) -> float:
    return float(f"{float(value):.6g}")
