"""The command line `goque`: one file a group of commands, imported when one of them is used."""

from __future__ import annotations

import sys

import click

from goque.cli import stdio
from goque.cli.group import root


def main() -> None:
    """Run the command that the arguments of this process name, and exit with its code."""
    stdio.prepare()
    try:
        root(prog_name="goque")
    except stdio.OutputError as error:  # from --help or --version, before any command
        click.echo(f"goque: {error}", err=True)
        sys.exit(error.exit_code)
