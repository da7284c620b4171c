"""`goque list`: tasks, newest first."""

from __future__ import annotations

import click

from goque.cli.command import command, database_option, opened_storage, option
from goque.cli.text import columns_of, print_json, print_table, time_text
from goque.task import TERMINAL_STATUSES, TaskFilter, TaskRow, TaskStatus

HEADER = ("id", "type", "status", "attempts", "priority", "due", "external id", "last error")


@command("list")
@database_option
@option("--type", "task_type", metavar="TYPE", help="Only tasks of this type.")
@option(
    "--status", type=click.Choice([str(status) for status in TaskStatus]), help="Only tasks in this status."
)
@option("--limit", type=click.IntRange(min=1), default=100, show_default=True, help="At most so many.")
@option("--json", "as_json", is_flag=True, help="One JSON object a line, its keys the names of the columns.")
def list_tasks(
    database_url: str | None, task_type: str | None, status: str | None, limit: int, *, as_json: bool
) -> None:
    """List tasks, newest first. `pending` means claimed by a fetcher; waiting tasks are `new` or `error`.

    \b
    Examples:
      goque list --status attempts_left
      goque list --type send_email --limit 1000 --json | jq .payload
    """
    wanted = TaskFilter(task_type=task_type, status=TaskStatus(status) if status else None)
    with opened_storage(database_url) as storage:
        rows = storage.find_tasks(wanted, limit=limit + 1)
    if as_json:
        for row in rows[:limit]:
            print_json(columns_of(row))
    elif rows:
        print_table(HEADER, [_cells(row) for row in rows[:limit]])
    else:
        click.echo("no tasks", err=True)
    if len(rows) > limit:
        click.echo(f"these are the newest {limit}; --limit shows more", err=True)


def _cells(row: TaskRow) -> list[str]:
    last_error = (row.errors or "").rstrip().rpartition("\n")[2]
    return [
        row.id,
        row.type,
        row.status,
        str(row.attempts),
        str(row.priority),
        "" if row.status in TERMINAL_STATUSES else time_text(row.next_attempt_at),
        "" if row.external_id.startswith("internal-") else row.external_id,
        last_error,
    ]
