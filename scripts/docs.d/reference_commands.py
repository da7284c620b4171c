"""Write the page with what --help of each command prints."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import click
from reference_pages import MADE_BY

from goque.cli.group import COMMANDS, root

INTRODUCTION: Final = """\
This page shows what `goque COMMAND --help` prints. [The command line](cli.md) explains the commands and shows their
output."""


def commands_page() -> str:
    """Return the page with what --help of each command prints."""
    parts = [MADE_BY, "# Every command's help", INTRODUCTION]
    parts.append("\n".join(f"- [`{name}`](#{name.replace(' ', '-')})" for name, _ in command_helps()))
    parts += [f"## {name}\n\n```text\n{text}\n```" for name, text in command_helps()]
    return "\n\n".join(parts) + "\n"


def command_helps() -> Iterator[tuple[str, str]]:
    """Return the name of each command and its --help, at a width of 80."""
    group = click.Context(root, info_name="goque", terminal_width=80, **root.context_settings)
    yield "goque", root.get_help(group)
    for name in COMMANDS:
        _, command, _ = root.resolve_command(group, [name])
        assert command is not None
        context = click.Context(command, group, info_name=name, terminal_width=80, **command.context_settings)
        yield f"goque {name}", command.get_help(context)
