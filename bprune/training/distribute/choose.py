"""From the name of a mode to the workers of a training job."""

from __future__ import annotations

import os

from bprune.errors import UsageError
from bprune.training.distribute.cluster import read_cluster
from bprune.training.distribute.distribution import Distribution
from bprune.training.distribute.mode import Mode
from bprune.training.launch import read_launch

__all__ = ["default_mode", "distribute"]


def distribute(
    mode: Mode | str | None = None,
    *,
    seed: int | None = None,
    patience_s: float = 30.0,
    port: int | None = None,
    parameter_servers: int = 1,
) -> Distribution:
    """The workers of a training job, seen from this one; call it before any other use of TensorFlow.

    Args:
        mode: A `Mode` or its name; None takes `multiworker` where TF_CONFIG is set, `mpi` under a launcher of several
            processes, else `none`.
        seed: The job's seed; None draws one. The chief uses it as it is, the others use seeds derived from it.
        patience_s: Silence of a worker, in seconds, after which it counts as lost and the job ends.
        port: Of the modes of tf.distribute, where TF_CONFIG is not set: the port of each machine's first process.
        parameter_servers: With `ps` where TF_CONFIG is not set: how many of the processes hold weights. The first
            process is the chief, these follow, the others are workers.

    Returns:
        A context manager; see `Distribution`. With `ps` only the chief returns: the other processes serve it and end
        with it.

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
    chosen = default_mode() if mode is None else Mode.named(mode)
    if not patience_s > 0:
        raise UsageError(f"patience_s={patience_s:g} must be greater than 0")
    if port is not None and not 1024 <= port < 65000:
        raise UsageError(f"port={port} must be at least 1024 and less than 65000")
    if port is not None and chosen not in (Mode.MULTIWORKER, Mode.PS):
        raise UsageError(f"port={port} does not go with {chosen.value!r}, which opens none")
    if chosen is Mode.NONE:
        return _serial(seed)
    if chosen is Mode.MPI:
        from bprune.training.distribute.mpi import Mpi

        return Mpi(seed, patience_s)
    if chosen is Mode.HOROVOD:
        from bprune.training.distribute.horovod import Horovod

        return Horovod(seed)
    if chosen is Mode.PS:
        return _with_parameter_servers(seed, patience_s, port, parameter_servers)
    from bprune.training.distribute.multiworker import MultiWorker

    return MultiWorker(seed, read_cluster(os.environ, port=port), patience_s)


def default_mode() -> Mode:
    """What `distribute` takes without a mode."""
    if os.environ.get("TF_CONFIG"):
        return Mode.MULTIWORKER
    launch = read_launch(os.environ)
    return Mode.MPI if launch is not None and (launch.size or 1) > 1 else Mode.NONE


def _with_parameter_servers(seed: int | None, patience_s: float, port: int | None, count: int) -> Distribution:
    from bprune.training.distribute.ps import ParameterServers, serve

    if count < 1:
        raise UsageError(f"parameter_servers={count} must be at least 1")
    cluster = read_cluster(os.environ, count, port)
    if cluster.kind != "chief":
        serve(cluster, patience_s)
    return ParameterServers(seed, cluster, patience_s)


def _serial(seed: int | None) -> Distribution:
    from bprune.training.distribute.serial import Serial

    launch = read_launch(os.environ)
    if launch is not None and (launch.size or 1) > 1:
        raise UsageError(
            f"this is one of {launch.size} processes that a launcher started ({launch.variable}={launch.rank}), and "
            f"with {Mode.NONE.value!r} each would train the whole network by itself",
            hint=f"Distribute with {Mode.MPI.value!r}, or start one process.",
        )
    return Serial(seed)
