"""`goque pause` and `goque resume`: stop and go for a task type, on every node."""

from __future__ import annotations

import click

from goque.cli.command import command, database_option, opened_storage
from goque.telemetry.logs import one_line


@command("pause")
@click.argument("task_types", metavar="TYPE...", nargs=-1, required=True)
@database_option
def pause(task_types: tuple[str, ...], database_url: str | None) -> None:
    """Let no node claim tasks of these types. Each obeys within its fetch_tick; what runs, runs to its end.

    Tasks may still be added: they wait. Periodic jobs go on adding theirs.

    \b
    Example:
      goque pause send_email
    """
    with opened_storage(database_url) as storage:
        for task_type in task_types:
            changed = storage.pause_type(task_type)
            click.echo(f"{one_line(task_type)} is paused{'' if changed else ' already'}")


@command("resume")
@click.argument("task_types", metavar="TYPE...", nargs=-1, required=True)
@database_option
def resume(task_types: tuple[str, ...], database_url: str | None) -> None:
    """Let every node claim tasks of these types again.

    \b
    Example:
      goque resume send_email
    """
    with opened_storage(database_url) as storage:
        for task_type in task_types:
            changed = storage.resume_type(task_type)
            click.echo(f"{one_line(task_type)} {'goes on' if changed else 'is not paused'}")
