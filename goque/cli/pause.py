"""`goque pause` and `goque resume`: stop and start task types on all nodes."""

from __future__ import annotations

import click

from goque.cli.command import command
from goque.cli.completion import complete_types
from goque.cli.database import database_option, opened_storage
from goque.telemetry.logs import one_line


@command("pause")
@click.argument("task_types", metavar="TYPE...", nargs=-1, required=True, shell_complete=complete_types)
@database_option
def pause(task_types: tuple[str, ...], database_url: str | None) -> None:
    """Stop claiming tasks of these types, on all nodes.

    Each node stops within its fetch_tick. Running tasks continue. You can still add tasks; they wait. Periodic jobs
    still add tasks, too.

    \b
    Example:
      goque pause send_email
    """
    with opened_storage(database_url) as storage:
        for task_type in task_types:
            changed = storage.pause_type(task_type)
            click.echo(f"{one_line(task_type)} is paused{'' if changed else ' already'}")


@command("resume")
@click.argument("task_types", metavar="TYPE...", nargs=-1, required=True, shell_complete=complete_types)
@database_option
def resume(task_types: tuple[str, ...], database_url: str | None) -> None:
    """Claim tasks of these types again, on all nodes.

    \b
    Example:
      goque resume send_email
    """
    with opened_storage(database_url) as storage:
        for task_type in task_types:
            changed = storage.resume_type(task_type)
            click.echo(f"{one_line(task_type)} {'goes on' if changed else 'is not paused'}")
