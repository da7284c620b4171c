"""The command line `goque`: one file a group of commands, imported when one of them is used."""

from __future__ import annotations

from goque.cli.group import root


def main() -> None:
    """Run the command that the arguments of this process name, and exit with its code."""
    root(prog_name="goque")
