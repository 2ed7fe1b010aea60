"""The package as a whole: what it exports, what it imports, and how the rooms depend on each other."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

import bprune
from bprune import errors

ROOT = Path(bprune.__file__).parent
ROOMS = (
    "case",
    "posterior",
    "pruning",
    "lowering",
    "metrics",
    "engines",
    "scale",
    "inference",
    "results",
    "judgement",
    "plots",
    "report",
    "jobs",
)
HEAVY = ("numpy", "matplotlib", "numba", "tensorflow", "tensorflow_probability", "tf_keras", "h5py", "scipy", "rich")


def _loaded(statement: str) -> set[str]:
    code = f"import sys\n{statement}\nprint(' '.join(m for m in {HEAVY!r} if m in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split("\n")[-2].split()) if done.stdout.strip() else set()


@pytest.mark.parametrize(
    "statement",
    [
        "import bprune",
        "import bprune.training",
        "import bprune.errors",
        "from bprune.cli import cli; cli.main(['--help'], standalone_mode=False)",
        "from bprune.cli import cli; cli.main(['--version'], standalone_mode=False)",
        "from bprune.cli import cli; cli.main(['infer', '--help'], standalone_mode=False)",
        "from bprune.cli import cli; cli.main(['plot', 'pdf', '--help'], standalone_mode=False)",
    ],
)
def test_nothing_heavy_is_imported(statement: str) -> None:
    assert _loaded(statement) == set()


def test_help_of_everything_names_an_example() -> None:
    from bprune.cli import cli

    for name, command in _all_commands(cli, ""):
        assert "Example:" in (command.help or "")
        takes_a_case = any(option.name == "case_dir" for option in command.params)
        assert f"bprune{name}{' --case-dir' if takes_a_case else ''}" in (command.help or "")


def _all_commands(group: click.Group, above: str) -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield f"{above} {name}", command
        if isinstance(command, click.Group):
            yield from _all_commands(command, f"{above} {name}")


@pytest.mark.parametrize("name", ["bprune", *(f"bprune.{room}" for room in (*ROOMS, "training"))])
def test_exports_are_real(name: str) -> None:
    module = importlib.import_module(name)
    for item in module.__all__:
        assert getattr(module, item) is not None
    assert set(module.__all__) <= set(dir(module))


def test_every_error_has_a_documented_exit_code() -> None:
    from bprune.cli import cli

    documented = {int(code) for code in "1 2 3 4 5 6 7".split()}
    for name in errors.__all__:
        assert getattr(errors, name).exit_code in documented
    for code in documented:
        assert f"{code} " in (cli.help or "")


def _imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("bprune."):
            found.add(node.module.split(".")[1])
        elif isinstance(node, ast.Import):
            found.update(alias.name.split(".")[1] for alias in node.names if alias.name.startswith("bprune."))
    return found


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_rooms_above_it(room: str) -> None:
    """Data flows down the list: case, posterior, pruning, engines, inference, results."""
    allowed = {
        "arrays",
        "atomic",
        "cells",
        "errors",
        "html",
        "lazy",
        "pages",
        "plain",
        "start",
        "stderr",
        "versions",
        *ROOMS[: ROOMS.index(room) + 1],
    }
    for path in (ROOT / room).rglob("*.py"):
        assert _imports(path) <= allowed, path


def test_training_imports_case_alone() -> None:
    for path in (ROOT / "training").rglob("*.py"):
        assert _imports(path) <= {"arrays", "atomic", "case", "errors", "lazy", "training"}, path


def test_nothing_imports_commands() -> None:
    for path in ROOT.rglob("*.py"):
        if "commands" not in path.parts:
            assert "commands" not in _imports(path), path


def test_no_file_is_too_long() -> None:
    long = {str(path): len(path.read_text().splitlines()) for path in ROOT.rglob("*.py")}
    assert {name: lines for name, lines in long.items() if lines > 400} == {}
