"""From the name of a mode to the workers of a training job."""

from __future__ import annotations

import os

from bprune.errors import UsageError
from bprune.training.distribute.distribution import Distribution
from bprune.training.distribute.mode import Mode
from bprune.training.launch import read_launch

__all__ = ["default_mode", "distribute"]


def distribute(mode: Mode | str | None = None, *, seed: int | None = None, patience_s: float = 30.0) -> Distribution:
    """The workers of a training job, seen from this one; call it before any other use of TensorFlow.

    Args:
        mode: A `Mode` or its name; None takes `mpi` under a launcher of several processes, else `none`.
        seed: The job's seed; None draws one. The chief uses it as it is, the others use seeds derived from it.
        patience_s: Silence of a worker, in seconds, after which it counts as lost and the job ends.

    Returns:
        A context manager; see `Distribution`.

    Raises:
        UsageError: If there is no such mode, or it does not fit how this process was started.
        MissingExtraError: If a library that the mode needs is missing.
        EngineError: If the mode cannot run here.

    Example:
        >>> with distribute("none", seed=1) as workers:
        ...     data = workers.dataset(lambda index, count: batches.shard(count, index))
        ...     with workers.scope():
        ...         model = build()
        ...         model.compile(workers.optimizer("adam"), loss)
        ...     history = workers.fit(model, data, epochs=1, callbacks=[BPruneCallback("runs/distributed")])
    """
    if not patience_s > 0:
        raise UsageError(f"patience_s={patience_s:g} must be greater than 0")
    chosen = default_mode() if mode is None else Mode.named(mode)
    if chosen is Mode.MPI:
        from bprune.training.distribute.mpi import Mpi

        return Mpi(seed, patience_s)
    launch = read_launch(os.environ)
    if launch is not None and (launch.size or 1) > 1:
        raise UsageError(
            f"this is one of {launch.size} processes that a launcher started ({launch.variable}={launch.rank}), and "
            f"with {Mode.NONE.value!r} each would train the whole network by itself",
            hint=f"Distribute with {Mode.MPI.value!r}, or start one process.",
        )
    from bprune.training.distribute.serial import Serial

    return Serial(seed)


def default_mode() -> Mode:
    """`mpi` under a launcher of several processes, else `none`."""
    launch = read_launch(os.environ)
    return Mode.MPI if launch is not None and (launch.size or 1) > 1 else Mode.NONE
