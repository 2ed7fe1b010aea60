"""The state of training after an epoch, in one file, so that a killed job goes on from there.

The file is an `.npz` of plain numbers: the epochs done, and every variable of the model and its optimizer, in order. It
does not say how many workers there were, nor how they worked together: a job may go on with others.
"""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tf_keras

from bprune.arrays import AnyArray
from bprune.atomic import output_errors, whole_file
from bprune.errors import DamagedFileError, InputError

if TYPE_CHECKING:
    from bprune.training.distribute.distribution import Distribution

__all__ = ["STATE_FILE", "Progress", "read_state", "write_state"]

STATE_FILE = "training-state.npz"


def write_state(path: Path, epoch: int, values: list[AnyArray]) -> None:
    """Write the state whole or not at all.

    Args:
        path: The file; one that is there is replaced.
        epoch: How many epochs are done.
        values: Values of the variables.

    Raises:
        OutputError: If it cannot be written.
    """
    arrays = {f"variable_{index:05d}": value for index, value in enumerate(values)}
    with output_errors(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path, overwrite=True) as temporary, open(temporary, "wb") as stream:
        np.savez(stream, epoch=np.int64(epoch), **arrays)  # type: ignore[arg-type]


def read_state(path: Path) -> tuple[int, list[AnyArray]]:
    """Read how many epochs are done, and the values of the variables.

    Raises:
        DamagedFileError: If the file is not one that `write_state` wrote.
    """
    try:
        with open(path, "rb") as stream, np.load(stream, allow_pickle=False) as archive:
            names = sorted(name for name in archive.files if name.startswith("variable_"))
            return int(archive["epoch"]), [archive[name] for name in names]
    except (ValueError, KeyError, OSError, EOFError, AttributeError, TypeError, zipfile.BadZipFile) as error:
        raise DamagedFileError(
            f"{path} is not the state of a training: {error}", hint="Delete it to start from the beginning."
        ) from None


class Progress(tf_keras.callbacks.Callback):  # type: ignore[misc]
    """Keeps the state after every epoch, and restores it.

    The state of the last epoch is written at the very end, after the case.

    Args:
        workers: The workers.
        model: The model, with all its variables.
        folder: Where the state is kept; None keeps none.
        epochs: How many epochs there are in all.
    """

    def __init__(self, workers: Distribution, model: Any, folder: str | Path | None, epochs: int) -> None:
        super().__init__()
        self._workers = workers
        self._path = Path(folder) / STATE_FILE if folder is not None else None
        self._epochs = epochs
        self._done = 0
        variables = model.optimizer.variables
        self._variables = [*model.variables, *(variables() if callable(variables) else variables)]

    def restore(self) -> int:
        """Set all variables to the state that was kept, or to those of the chief, on every worker.

        Returns:
            How many epochs are done, on every worker.

        Raises:
            InputError: If the state is that of another network.
            DamagedFileError: If the file is damaged.
        """
        self._done = 0
        if self._path is not None and self._workers.is_chief and self._path.exists():
            self._done, values = read_state(self._path)
            self._assign(values)
        self._done = int(self._workers.gather([self._done])[0][0])
        self._workers.take_chiefs(self._variables)
        return min(self._done, self._epochs)

    def _assign(self, values: list[AnyArray]) -> None:
        expected = [(tuple(variable.shape), variable.dtype.name) for variable in self._variables]
        found = [(value.shape, value.dtype.name) for value in values]
        if expected != found:
            raise InputError(
                f"{self._path} is the state of another network or optimizer: {len(found)} variables, not the "
                f"{len(expected)} of this one, or of other shapes",
                hint="Give every training a resume_dir of its own, or delete the file to start from the beginning.",
            )
        with self._workers.scope():
            for variable, value in zip(self._variables, values, strict=True):
                variable.assign(value)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Keep the state, unless this was the last epoch."""
        self._done = epoch + 1
        if self._done < self._epochs and not self.model.stop_training:
            self._write()

    def on_train_end(self, logs: Any = None) -> None:
        """Keep the last state."""
        if self.model.stop_training:
            self._done = self._epochs
        self._write()

    def _write(self) -> None:
        if self._path is None:
            return
        values = [np.asarray(variable.numpy()) for variable in self._variables]
        if self._workers.is_chief:
            write_state(self._path, self._done, values)
