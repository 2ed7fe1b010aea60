"""The options that say who works: `--workers`, `--mpi`, `--dask`."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from bprune.commands.options import group_options

if TYPE_CHECKING:
    from bprune.scale import Workers

__all__ = ["WorkersChoice", "worker_options"]


@dataclass(frozen=True)
class WorkersChoice:
    """Who works."""

    workers: int | None
    mpi: bool
    dask: str | None

    @contextlib.contextmanager
    def open(self) -> Iterator[Workers | None]:
        """The workers while the body runs; None where this process does the work.

        Raises:
            click.UsageError: If two kinds were asked for.
            MissingExtraError: If a library is missing.
            EngineError: If workers cannot be had.
        """
        from bprune.scale import dask_workers, mpi_workers, open_workers

        if (self.workers is not None) + self.mpi + (self.dask is not None) > 1:
            raise click.UsageError("--workers, --mpi and --dask do not go together")
        if self.mpi:
            with mpi_workers() as crew:
                yield crew
        elif self.dask is not None:
            with dask_workers(self.dask) as crew:
                yield crew
        else:
            with open_workers(None, self.workers) as own:
                yield own


worker_options: Callable[[Any], Any] = group_options(
    "working",
    WorkersChoice,
    click.option(
        "--workers",
        type=click.IntRange(min=1),
        metavar="N",
        help="Work in N processes of this machine; the results are the same. One process uses all cores already; more "
        "help where calls are small.  [default: 1]",
    ),
    click.option(
        "--mpi",
        is_flag=True,
        help="Work in the ranks of mpiexec or srun, on any number of machines: mpiexec -n 9 bprune ... --mpi. Rank 0 "
        "hands out the work. Needs the extra mpi.",
    ),
    click.option(
        "--dask",
        metavar="ADDRESS",
        help="Work in the workers of the Dask scheduler at ADDRESS, such as tcp://10.0.0.1:8786. Needs the extra dask.",
    ),
)
"""Who works: the argument `working`."""
