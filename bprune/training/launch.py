"""What a launcher of parallel programs (mpiexec, srun, PALS, Flux) tells each process in its environment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["Launch", "read_launch"]

_LAUNCHERS = (
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK", "OMPI_COMM_WORLD_LOCAL_SIZE"),
    ("PALS_RANKID", "PALS_SIZE", "PALS_LOCAL_RANKID", "PALS_LOCAL_SIZE"),
    ("MV2_COMM_WORLD_RANK", "MV2_COMM_WORLD_SIZE", "MV2_COMM_WORLD_LOCAL_RANK", "MV2_COMM_WORLD_LOCAL_SIZE"),
    ("FLUX_TASK_RANK", "FLUX_JOB_SIZE", "FLUX_TASK_LOCAL_ID", ""),
    ("PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID", "MPI_LOCALNRANKS"),
    ("PMIX_RANK", "", "", ""),
    ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID", ""),
)
"""The variables of rank, size, rank on this machine, and processes on this machine; empty where there is none."""


@dataclass(frozen=True)
class Launch:
    """One of the processes of a parallel program.

    Attributes:
        rank: Its number, from 0.
        size: How many there are; None where the launcher does not say.
        local_rank: Its number among those of this machine; None where the launcher does not say.
        local_size: How many run on this machine; None where the launcher does not say.
        variable: The variable that held the rank.
    """

    rank: int
    size: int | None
    local_rank: int | None
    local_size: int | None
    variable: str


def read_launch(environment: Mapping[str, str]) -> Launch | None:
    """Read what the launcher said; None where there was none.

    Args:
        environment: `os.environ`, or one like it.
    """
    for names in _LAUNCHERS:
        rank, size, local_rank, local_size = (_number(environment, name) for name in names)
        if rank is not None:
            return Launch(rank, size, local_rank, local_size, variable=names[0])
    return None


def _number(environment: Mapping[str, str], name: str) -> int | None:
    value = environment.get(name, "") if name else ""
    return int(value) if value.isdecimal() else None
