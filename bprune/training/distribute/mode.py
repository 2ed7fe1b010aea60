"""The ways of training on several processes, by name."""

from __future__ import annotations

import enum

from bprune.errors import UsageError

__all__ = ["Mode"]


class Mode(str, enum.Enum):
    """How training is distributed over processes."""

    NONE = "none"
    """One process; nothing is exchanged."""

    MPI = "mpi"
    """Synchronous: MPI's processes average their gradients at every step (extra `mpi`)."""

    MULTIWORKER = "multiworker"
    """Synchronous: tf.distribute's MultiWorkerMirroredStrategy; TF_CONFIG, or what Slurm, PBS or mpiexec tell."""

    PS = "ps"
    """Asynchronous: tf.distribute's ParameterServerStrategy, a chief, parameter servers and workers."""

    HOROVOD = "horovod"
    """Synchronous: the processes of `horovodrun` average their gradients, where Horovod is installed."""

    @classmethod
    def named(cls, name: str) -> Mode:
        """The mode of a name.

        Raises:
            UsageError: If there is none.
        """
        try:
            return cls(name)
        except ValueError:
            allowed = ", ".join(item.value for item in cls)
            raise UsageError(
                f"there is no way to distribute training named {name!r}", hint=f"Allowed: {allowed}."
            ) from None
