"""`manage.py goque …`: the command line of goque, on the project's database and registry."""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser
from importlib import import_module
from typing import Any, Final

from django.core.management.base import BaseCommand, CommandError, CommandParser

from goque.cli import group, stdio
from goque.contrib.django.databases import database_url

APP: Final = "goque.contrib.django.app:registry"


class Command(BaseCommand):
    """Runs a command of goque; `manage.py goque --help` lists them."""

    help = "Run a command of goque: supervise, list, show, cancel, stats and so on."

    def add_arguments(self, parser: CommandParser) -> None:
        """Accept all arguments; click parses them."""
        parser.add_argument("arguments", nargs="*")

    def run_from_argv(self, argv: list[str]) -> None:
        """Run the command; --help and other options go to goque too."""
        os.environ.setdefault(
            "PYTHONPATH", sys.path[0]
        )  # the tree's processes import the project like manage.py
        stdio.prepare()
        group.root.main(completed(without_djangos_own(argv[2:])), prog_name="manage.py goque")

    def handle(self, *args: Any, **options: Any) -> None:
        """Run the command of `call_command("goque", "list", …)`."""
        del args
        code = group.root.main(completed(list(options["arguments"])), "goque", standalone_mode=False)
        if code:
            raise CommandError(f"goque {options['arguments'][0]} failed", returncode=code)


def without_djangos_own(arguments: list[str]) -> list[str]:
    """Remove --settings and --pythonpath, which Django has already applied."""
    parser = ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--settings")
    parser.add_argument("--pythonpath")
    return parser.parse_known_args(arguments)[1]


def completed(arguments: list[str]) -> list[str]:
    """Add the project's registry as the app, and its database URL."""
    place = next((index for index, word in enumerate(arguments) if word in group.COMMANDS), None)
    if place is None:
        return arguments
    params = group.load(arguments[place]).params
    own = ["--app", APP] if any(param.name == "app" for param in params) else []
    if (
        any(param.name == "database_url" for param in params)
        and "GOQUE_DATABASE_URL" not in os.environ
        and not any(word.startswith("--database-url") for word in arguments)
    ):
        own += ["--database-url", database_url()]
    if arguments[place] == "enqueue" and "GOQUE_APP" not in os.environ and "--app" not in arguments:
        import_module(APP.partition(":")[0])  # the project is loaded here, and need not be in another process
        own += ["--app", APP]
    return [*arguments[: place + 1], *own, *arguments[place + 1 :]]
