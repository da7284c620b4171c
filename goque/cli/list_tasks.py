"""`goque list`: tasks, newest first; two lines each on a terminal, one line each in a pipe."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from datetime import UTC, datetime

import click

from goque.cli.command import WholeNumber, command, database_option, opened_storage, option
from goque.cli.output import columns_of, print_json, print_table, shortened, table_lines, time_text
from goque.describe.task_state import lasting
from goque.task import CLAIMED_STATUSES, TERMINAL_STATUSES, TaskFilter, TaskRow, TaskStatus
from goque.telemetry.logs import one_line

HEADER = ("id", "type", "status", "attempts", "priority", "due", "external_id", "last_error")
SHORT_HEADER = ("id", "type", "status", "due")
INDENT = "    "
MAX_NOTED_ID = 40


STATUSES = [str(status) for status in TaskStatus]


@command("list")
@option("--type", "task_type", metavar="TYPE", help="Only tasks of this type.")
@option(
    "--status",
    type=click.Choice(STATUSES),
    metavar="STATUS",
    help=f"Only tasks in this status: {', '.join(STATUSES[:-1])} or {STATUSES[-1]}.",
)
@option(
    "--limit",
    type=WholeNumber(min=1),
    metavar="N",
    default=100,
    show_default=True,
    help="Print at most N tasks.",
)
@option("--json", "as_json", is_flag=True, help="Print a JSON object a line, its keys the table's columns.")
@database_option
def list_tasks(
    database_url: str | None, task_type: str | None, status: str | None, limit: int, *, as_json: bool
) -> None:
    """List tasks, newest first.

    Waiting tasks are `new`, or `error` if they have failed before. `pending` tasks are claimed and about to run.
    Ended tasks are `done`, `canceled` or `attempts_left` (failed: no attempt was left).

    \b
    Examples:
      goque list --status attempts_left
      goque list --type send_email --limit 1000 --json | jq .payload
    """
    wanted = TaskFilter(task_type=task_type, status=TaskStatus(status) if status else None)
    with opened_storage(database_url) as storage:
        rows = storage.find_tasks(wanted, limit=limit + 1)
    shown = rows[:limit]
    if as_json:
        for row in shown:
            print_json(columns_of(row))
    elif not shown:
        click.echo(f"no {'such ' if task_type or status else ''}tasks in {storage.url}", err=True)
    elif sys.stdout.isatty():
        for line in _lines_for_people(shown, datetime.now(UTC), shutil.get_terminal_size().columns):
            click.echo(line)
    else:
        print_table(HEADER, [_cells(row) for row in shown])
    if len(rows) > limit:
        click.echo(f"these are the newest {limit}; --limit shows more", err=True)


def _cells(row: TaskRow) -> list[str]:
    """Return a cell for each column. No cell is empty, so that programs can count columns."""
    due = "" if row.status in TERMINAL_STATUSES else time_text(row.next_attempt_at)
    cells = [row.id, row.type, row.status, str(row.attempts), str(row.priority), due, _external_id(row)]
    return [cell or "-" for cell in (*cells, _last_error(row))]


def _lines_for_people(rows: list[TaskRow], now: datetime, width: int) -> Iterator[str]:
    """Yield a line of up to 80 columns for each task, with its whole id, and a second line with details."""
    cells = [[row.id, row.type, row.status, _due(row, now)] for row in rows]
    header, *lines = table_lines(SHORT_HEADER, cells, width=width, elastic=SHORT_HEADER.index("type"))
    yield header
    for row, line in zip(rows, lines, strict=True):
        yield line
        if notes := "  ".join(_notes(row)):
            yield shortened(f"{INDENT}{one_line(notes)}", width)


def _notes(row: TaskRow) -> Iterator[str]:
    if external_id := _external_id(row):
        yield shortened(external_id, MAX_NOTED_ID)
    if row.priority:
        yield f"priority {row.priority}"
    if error := _last_error(row):
        yield error


def _due(row: TaskRow, now: datetime) -> str:
    if row.status in TERMINAL_STATUSES or row.status in CLAIMED_STATUSES:
        return ""
    seconds = (row.next_attempt_at - now).total_seconds()
    if abs(seconds) < 1:
        return "now"
    return f"in {lasting(seconds)}" if seconds > 0 else f"{lasting(-seconds)} ago"


def _external_id(row: TaskRow) -> str:
    return "" if row.external_id.startswith("internal-") else row.external_id


def _last_error(row: TaskRow) -> str:
    return (row.errors or "").rstrip().rpartition("\n")[2]
