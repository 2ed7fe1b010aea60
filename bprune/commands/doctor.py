"""`bprune doctor`: what this machine can run, and how fast it is."""

from __future__ import annotations

import contextlib
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from bprune.commands.options import output_options
from bprune.commands.output import Output, print_json, print_table

if TYPE_CHECKING:
    from bprune.engines.health import Health, Kernels
    from bprune.engines.machine import Machine
    from bprune.engines.rates import Rates
    from bprune.errors import EngineError

__all__ = ["command"]


@click.command("doctor")
@click.option(
    "--warm-up",
    is_flag=True,
    help="Compile all kernels ahead, and end: for images of containers and installations that are only read.",
)
@output_options
def command(warm_up: bool, tell: Output) -> None:
    """Tell which engines this machine can run and how fast it is.

    Prints the processor and its instructions that matter, cores and settings of threads, versions, GPUs, and where
    compiled kernels are kept; compiles or loads these, tries them, and measures for a second what draws are made of:
    random numbers, products and memory. The exit code is 7 where no engine can run.

    Compiled kernels are kept below the folder that NUMBA_CACHE_DIR names, or else in the user's folder for caches. With
    --warm-up and that variable set, they are there for every user who has it set as well.

    \b
    Example:
      bprune doctor
      bprune doctor --json
      NUMBA_CACHE_DIR=/opt/kernels bprune doctor --warm-up
    """
    if warm_up:
        _warm_up(tell)
        return
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(Exception):  # a TensorFlow that cannot be imported is what this is for
            stack.enter_context(tell.tensorflow())
        from bprune.engines.health import examine

        with tell.progress("kernels"):
            health = examine()
    failure = health.failure
    if tell.as_json:
        print_json(_content(health, failure))
    elif not tell.quiet:
        _print(health)
    if failure is not None:
        _fail(failure, tell)


def _warm_up(tell: Output) -> None:
    """Compile what is not compiled, and tell where it is kept."""
    from bprune.engines.health import try_kernels
    from bprune.errors import EngineError, OutputError

    with tell.progress("kernels"):
        kernels = try_kernels()
    if kernels.problem:
        raise EngineError(kernels.problem, hint="See bprune doctor for what this machine can run.")
    if not kernels.cache:
        raise OutputError(
            "no folder can be written in which compiled kernels are kept", hint="Set NUMBA_CACHE_DIR to one that can."
        )
    if tell.as_json:
        print_json({"schema": "bprune-doctor 1", "kernels": asdict(kernels)})
    elif not tell.quiet:
        print_table(["this machine", ""], _kernel_rows(kernels), text_columns=2)


def _fail(failure: EngineError, tell: Output) -> None:
    """End with the exit code of a failure. With --json the object is printed already, so that there is one alone."""
    if not tell.as_json:
        raise failure
    click.echo(f"Error: {failure.message}\nHint: {failure.hint}", err=True)
    raise click.exceptions.Exit(failure.exit_code)


def _content(health: Health, failure: EngineError | None) -> dict[str, Any]:
    content: dict[str, Any] = {"schema": "bprune-doctor 1", **asdict(health)}
    if failure is not None:
        content["error"] = {"message": failure.message, "hint": failure.hint, "exit_code": failure.exit_code}
    return content


def _print(health: Health) -> None:
    rows = [
        *_machine_rows(health.machine),
        *_kernel_rows(health.kernels),
        *((f"engine {item.name}", item.problem or "runs") for item in health.engines),
        *_rate_rows(health.rates),
    ]
    print_table(["this machine", ""], rows, text_columns=2)


def _machine_rows(machine: Machine) -> list[tuple[str, str]]:
    cores = f"{machine.cores} of {machine.all_cores}"
    if machine.quota is not None:
        cores += f"; the container allows the time of {machine.quota:g}"
    settings = ", ".join(f"{name}={value}" for name, value in machine.threads.items())
    return [
        ("CPU", f"{machine.cpu}, {machine.architecture}"),
        ("instructions", ", ".join(machine.features) or "none that are used"),
        ("cores", cores),
        ("thread settings", settings or "none"),
        ("BLAS", "; ".join(machine.blas) or "unknown"),
        ("GPUs", ", ".join(machine.gpus) or "none that TensorFlow sees"),
        ("Python", machine.python),
        *((name, item) for name, item in machine.versions.items()),
    ]


def _kernel_rows(kernels: Kernels) -> list[tuple[str, str]]:
    if kernels.problem:
        return [("kernels", kernels.problem)]
    none = "no folder can be written, so every process compiles; set NUMBA_CACHE_DIR to one that can"
    how = "all compiled" if kernels.compiled is None else f"{kernels.compiled} compiled, the others loaded"
    how = how if kernels.compiled != 0 else "all loaded"
    return [
        ("kernel cache", f"{kernels.cache}, writable" if kernels.cache else none),
        ("kernels", f"ready in {kernels.seconds:.2f} s: {how}"),
    ]


def _rate_rows(rates: Rates) -> list[tuple[str, str]]:
    """The rates that could be measured, in units that people compare."""
    told = [
        ("normals", rates.normals_per_s, 1e9, "billion per second"),
        ("matrix products", rates.matmul_flop_per_s, 1e9, "GFLOP/s, float32"),
        ("sparse products", rates.sparse_flop_per_s, 1e9, "GFLOP/s, a tenth of the weights live"),
        ("memory", rates.copy_bytes_per_s, 1e9, "GB/s, read and written"),
    ]
    threads = f"{rates.threads} thread{'' if rates.threads == 1 else 's'}"
    return [(name, f"{value / unit:.3g} {what}, {threads}") for name, value, unit, what in told if value is not None]
