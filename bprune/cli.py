"""The command line: the group, and the one place where errors become messages and exit codes."""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

import click

from bprune.errors import BPruneError
from bprune.signals import TerminatedError, install_handlers

__all__ = ["cli", "main", "run"]

_COMMANDS = (
    "inspect",
    "prune",
    "infer",
    "sweep",
    "metrics",
    "compare",
    "verify",
    "bench",
    "plot",
    "report",
    "doctor",
    "plan",
    "run-task",
    "collect",
)


class _LazyGroup(click.Group):
    """A group that imports a command's module when the command is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"bprune.commands.{cmd_name.replace('-', '_')}").command
        return command


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="bprune", prog_name="bprune")
def cli() -> None:
    """Inspect, prune and run Bayesian neural networks trained with TensorFlow Probability.

    A case is a directory that the training hooks wrote (LayerNames.txt, OpsNames.txt and a checkpoint).

    \b
    Example:
      bprune inspect --case-dir sample_checkpoints/digits_conv
      bprune prune --case-dir sample_checkpoints/digits_conv --threshold 10
      bprune infer --case-dir digits_conv-pruned --mc-iters 400

    \b
    Exit codes:
      0 done                          5 a numerical self-check failed
      1 any other error               6 output cannot be written
      2 usage                         7 engine or workers unavailable
      3 target not met                130, 143 interrupted
      4 input missing, damaged, refused or unsupported
    """


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit with its code.

    Args:
        arguments: The arguments; those of the process when None.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    install_handlers()
    if "--mpi" in given and not {"-h", "--help"} & set(given):
        sys.exit(_guarded(given, lambda: _run_ranks(given)))
    sys.exit(run(given))


def run(arguments: list[str]) -> int:
    """Run the command line; the exit code. Errors are reported, not raised, unless --debug is given."""
    return _guarded(arguments, lambda: _run(arguments))


def _run(arguments: list[str]) -> int:
    result = cli.main(args=arguments, prog_name="bprune", standalone_mode=False)
    sys.stdout.flush()
    return result if isinstance(result, int) else 0


def _run_ranks(arguments: list[str]) -> int:
    from bprune.scale.mpi import run_ranks

    return run_ranks(lambda: run(arguments))


def _guarded(arguments: list[str], step: Callable[[], int]) -> int:
    """The exit code of a step, with its errors reported."""
    as_json = "--json" in arguments
    debug = "--debug" in arguments
    try:
        return step()
    except click.exceptions.Exit as error:
        return error.exit_code
    except click.ClickException as error:
        code = 2 if isinstance(error, click.UsageError) else error.exit_code
        _report(error.format_message(), _usage_hint(error), code, as_json)
        return code
    except (KeyboardInterrupt, click.Abort):
        _report("interrupted; nothing unfinished was left behind", None, 130, as_json)
        return 130
    except TerminatedError as error:
        _report("terminated; nothing unfinished was left behind", None, error.exit_code, as_json)
        return error.exit_code
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except BPruneError as error:
        if debug:
            raise
        _report(error.message, error.hint, error.exit_code, as_json)
        return error.exit_code
    except MemoryError:
        if debug:
            raise
        _report("out of memory", "Pass a smaller --batch-size, or --draws none.", 1, as_json)
        return 1
    except Exception as error:
        if debug:
            raise
        _report(
            f"unexpected {type(error).__name__}: {error}",
            "Run again with --debug and report the traceback.",
            1,
            as_json,
        )
        return 1


def _usage_hint(error: click.ClickException) -> str | None:
    context = getattr(error, "ctx", None)
    return f"Try '{context.command_path} --help'." if context is not None else None


def _report(message: str, hint: str | None, code: int, as_json: bool) -> None:
    """An error line and a hint line on standard error; with --json also one object on standard output."""
    if as_json:
        content: dict[str, Any] = {"message": message, "hint": hint, "exit_code": code}
        click.echo(json.dumps({"schema": "bprune-error 1", "error": content}))
    click.echo(f"Error: {message}", err=True)
    if hint:
        click.echo(f"Hint: {hint}", err=True)
