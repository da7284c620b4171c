"""Which parts of an app a tree runs: options that `goque supervise` and `goque check` share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from goque.cli.command import list_option, option
from goque.cli.completion import complete_type_lists
from goque.cli.parameters.values import Names, WholeNumber
from goque_supervisor.settings import ROLES, SuperviseOptions

FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])


def selection_options(function: FunctionT) -> FunctionT:
    """Add --types, --exclude-types, --pools, --exclude-pools, --workers and --roles."""
    for add in (
        list_option(
            "--roles",
            type=Names(ROLES),
            default=(",".join(ROLES),),
            show_default=True,
            help="The roles to run here. Each role can be a separate service.",
        ),
        list_option(
            "--exclude-types",
            type=Names(),
            shell_complete=complete_type_lists,
            help="Run all task types of the app except these.",
        ),
        list_option(
            "--types",
            type=Names(),
            shell_complete=complete_type_lists,
            help="Run only these task types.  [default: all]",
        ),
        option(
            "--workers",
            type=WholeNumber(1, 1_000_000),
            metavar="N",
            help="The most worker processes of the pool 'default'.",
        ),
        list_option("--exclude-pools", type=Names(), help="Run the task types of all pools except these."),
        list_option(
            "--pools",
            type=Names(),
            help="Run only the task types of these pools.  [default: all]",
        ),
    ):
        function = add(function)
    return function


def supervise_options(app: str, log_level: str, **options: Any) -> SuperviseOptions:
    """Make the options of a tree. Raises click.UsageError if they contradict each other."""
    if options["types"] and options["exclude_types"]:
        raise click.UsageError("--types and --exclude-types contradict each other; give one of them")
    if options["pools"] and options["exclude_pools"]:
        raise click.UsageError("--pools and --exclude-pools contradict each other; give one of them")
    return SuperviseOptions(app=app, log_level=log_level, **options)
