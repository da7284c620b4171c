"""The command line `goque`: a command's module is imported when the command runs."""

from __future__ import annotations

import sys

import click

from goque.cli import stdio
from goque.cli.group import root


def main() -> None:
    """Run the command named by the arguments of this process, and exit with its code."""
    stdio.prepare()
    try:
        root(prog_name="goque")
    except stdio.OutputError as error:  # from --help or --version, before any command
        click.echo(f"goque: {error}", err=True)
        sys.exit(error.exit_code)
