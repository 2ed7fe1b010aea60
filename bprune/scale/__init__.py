"""Who does the work: processes of this machine, ranks of MPI, workers of Dask, or any executor of Python's."""

from bprune.scale.dask import dask_workers
from bprune.scale.divide import Share, divide
from bprune.scale.mpi import mpi_workers
from bprune.scale.processes import processes
from bprune.scale.workers import Executor, Workers, open_workers

__all__ = ["Executor", "Share", "Workers", "dask_workers", "divide", "mpi_workers", "open_workers", "processes"]
