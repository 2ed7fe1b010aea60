"""Generate docs/cli.md from the commands' --help; with --check, fail when it is stale."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from bprune.cli import cli

TARGET = Path(__file__).with_name("cli.md")


def reference() -> str:
    """The text of docs/cli.md."""
    context = click.Context(cli, info_name="bprune", max_content_width=100, terminal_width=100)
    parts = ["# Command line", "", "Generated from `--help` by `python docs/make_cli.py`.", "", *_block(cli, context)]
    for name in cli.list_commands(context):
        command = cli.get_command(context, name)
        if command is not None:
            inner = click.Context(command, info_name=name, parent=context, max_content_width=100, terminal_width=100)
            parts += ["", f"## bprune {name}", "", *_block(command, inner), *_subcommands(command, inner)]
    return "\n".join(parts) + "\n"


def _subcommands(group: click.Command, context: click.Context) -> list[str]:
    parts = []
    for name in group.list_commands(context) if isinstance(group, click.Group) else ():
        command = group.get_command(context, name)
        if command is not None:
            inner = click.Context(command, info_name=name, parent=context, max_content_width=100, terminal_width=100)
            parts += ["", f"### {context.command_path} {name}", "", *_block(command, inner)]
    return parts


def _block(command: click.Command, context: click.Context) -> list[str]:
    return ["```", command.get_help(context).rstrip(), "```"]


def main() -> int:
    """Write the file, or check it."""
    text = reference()
    if "--check" in sys.argv[1:]:
        if not TARGET.is_file() or TARGET.read_text(encoding="utf-8") != text:
            print(f"{TARGET} is stale; run: python docs/make_cli.py", file=sys.stderr)
            return 1
        return 0
    TARGET.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
