"""`goque list`: tasks, newest first; two lines each on a terminal, one line each in a pipe."""

from __future__ import annotations

import math
import shutil
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import click

from goque.cli.command import command, list_option, option
from goque.cli.completion import type_option
from goque.cli.database import database_option, opened_storage, type_hint
from goque.cli.output import columns_of, print_json, print_table, shortened, table_lines, time_text
from goque.cli.parameters.statuses import Statuses
from goque.cli.parameters.values import Since, TaskId, Text, WholeNumber
from goque.describe.status_words import explain_words, word_of
from goque.describe.step_words import is_endless
from goque.describe.task_state import lasting
from goque.storage import TaskStorage
from goque.storage.pages import AT_ONCE, MAX_LOOKS, find_lines
from goque.storage.search_types import TaskLine, TaskSearch
from goque.task_filter import TaskFilter
from goque.task_row import CLAIMED_STATUSES, IN_FLOW, TERMINAL_STATUSES, TaskRow, TaskStatus
from goque.task_rules.error_lines import last_error
from goque.telemetry.logs import one_line

HEADER = ("id", "type", "status", "failed_attempts", "priority", "due", "external_id", "last_error")
SHORT_HEADER = ("id", "type", "status", "due")
NEVER_DUE = TERMINAL_STATUSES | {TaskStatus.BLOCKED}
INDENT = "    "
MAX_NOTED_ID = 40


@command("list")
@type_option("Only tasks of this type.")
@list_option(
    "--status",
    "statuses",
    type=Statuses(),
    help=f"Only tasks in these statuses: {explain_words()}.",
)
@option("--external-id", type=Text(), metavar="ID", help="Only tasks with exactly this external id.")
@option("--limit-key", type=Text(), metavar="KEY", help="Only tasks with exactly this limit_key.")
@option(
    "--failure",
    type=Text(),
    metavar="GROUP",
    help="Only open tasks of this group of failures; `goque failures` lists the groups.",
)
@option("--error", type=Text(), help="Only tasks with this text in their errors; case does not matter.")
@option("--payload", type=Text(), help="Only tasks with this text in their payload; case does not matter.")
@option(
    "--since",
    "created_from",
    type=Since(),
    help="Only tasks created since a time, or in the last 90s, 5m, 2h or 7d.",
)
@option("--before", type=TaskId(), help="Only tasks older than the one with this id.")
@option(
    "--limit",
    type=WholeNumber(min=1),
    metavar="N",
    default=100,
    show_default=True,
    help="Print at most N tasks.",
)
@option(
    "--all",
    "of_all",
    is_flag=True,
    help="Search all tasks until N are found. This takes seconds in a table of millions of tasks.",
)
@option(
    "--json",
    "as_json",
    is_flag=True,
    help="Print a JSON object a line. Its keys are the columns of the table, and flow_id.",
)
@database_option
def list_tasks(
    database_url: str | None,
    task_type: str | None,
    statuses: tuple[TaskStatus, ...],
    before: str | None,
    limit: int,
    *,
    of_all: bool,
    as_json: bool,
    **filters: Any,
) -> None:
    """List tasks, newest first.

    A waiting task is `new`, or `error` if it has failed before. A claimed task is `pending`: a node has it and is about
    to run it. A failed task is `attempts_left`: no attempt was left. A blocked task waits for tasks that it needs. A
    task is also waiting while its handler sleeps or waits for a signal; `goque show` shows what it waits for.
    --json prints raw statuses, and --status takes words and raw statuses.

    A search looks at a limited number of tasks if no index helps it, such as one for a text. If there are more, the
    command prints how far back it came and how to continue. --all searches to the end.

    \b
    Examples:
      goque list --status failed --since 2h
      goque list --status waiting,running --type send_email
      goque list --type sync --limit-key acme
      goque list --payload ada@example.com --error refused --all
      goque list --type send_email --limit 1000 --json | jq .payload
    """
    search = TaskSearch(task_type=task_type, statuses=statuses, **filters)
    with opened_storage(database_url) as storage:
        looks = math.inf if of_all else MAX_LOOKS
        found = find_lines(storage, search, before=before, limit=limit, max_looks=looks)
        if as_json:
            for rows in _batches(storage, found.lines):
                flows = _flows_of(storage, rows)
                for row in rows:
                    print_json({**columns_of(row), "flow_id": flows.get(row.id)})
        elif not found.lines:
            filtered = search != TaskSearch() or before is not None
            click.echo(f"no {'such ' if filtered else ''}tasks in {storage.url}", err=True)
        if not found.lines and task_type and (hint := type_hint(storage, task_type)):
            click.echo(f"goque: {one_line(hint)}", err=True)
    if found.lines and not as_json:
        _print(found.lines)
    if found.looked_back_to is not None:
        since = f"{found.looked_back_to:%Y-%m-%dT%H:%M:%SZ}"
        click.echo(
            f"searched the tasks created since {since}; --before {found.before} continues the search, "
            "--all searches all tasks",
            err=True,
        )
    elif found.before is not None:
        click.echo(
            f"only the newest {limit} are shown; --limit shows more, --before {found.before} shows older ones",
            err=True,
        )


def _batches(storage: TaskStorage, lines: Sequence[TaskLine]) -> Iterator[list[TaskRow]]:
    """Yield the whole rows of tasks, some at a time, those that are deleted meanwhile left out."""
    for start in range(0, len(lines), AT_ONCE):
        ids = [line.id for line in lines[start : start + AT_ONCE]]
        yield storage.find_tasks(TaskFilter(ids=ids), limit=len(ids))


def _flows_of(storage: TaskStorage, rows: Sequence[TaskRow]) -> dict[str, str]:
    """Return the flows of tasks by task; without a task of a flow, nothing is read."""
    ids = [row.id for row in rows if row.flags and row.flags & IN_FLOW]
    return storage.flows_of(ids) if ids else {}


def _print(lines: Sequence[TaskLine]) -> None:
    if sys.stdout.isatty():
        for line in _lines_for_people(lines, datetime.now(UTC), shutil.get_terminal_size().columns):
            click.echo(line)
    else:
        print_table(HEADER, [_cells(line) for line in lines])


def _cells(row: TaskLine) -> list[str]:
    """Return a cell for each column. No cell is empty, so that programs can count columns."""
    due = "" if row.status in NEVER_DUE else time_text(row.next_attempt_at)
    cells = [
        row.id,
        row.type,
        word_of(row.status),
        str(row.attempts),
        str(row.priority),
        due,
        _external_id(row),
    ]
    return [cell or "-" for cell in (*cells, last_error(row.last_errors))]


def _lines_for_people(rows: Sequence[TaskLine], now: datetime, width: int) -> Iterator[str]:
    """Yield a line of up to 80 columns for each task, with its whole id, and a second line with details."""
    cells = [[row.id, row.type, word_of(row.status), _due(row, now)] for row in rows]
    header, *lines = table_lines(SHORT_HEADER, cells, width=width, elastic=SHORT_HEADER.index("type"))
    yield header
    for row, line in zip(rows, lines, strict=True):
        yield line
        if notes := "  ".join(_notes(row)):
            yield shortened(f"{INDENT}{one_line(notes)}", width)


def _notes(row: TaskLine) -> Iterator[str]:
    if external_id := _external_id(row):
        yield shortened(external_id, MAX_NOTED_ID)
    if row.priority:
        yield f"priority {row.priority}"
    if error := last_error(row.last_errors):
        yield error


def _due(row: TaskLine, now: datetime) -> str:
    if row.status in NEVER_DUE or row.status in CLAIMED_STATUSES:
        return ""
    if is_endless(row.next_attempt_at, now):
        return "on a signal"
    seconds = (row.next_attempt_at - now).total_seconds()
    if abs(seconds) < 1:
        return "now"
    return f"in {lasting(seconds)}" if seconds > 0 else f"{lasting(-seconds)} ago"


def _external_id(row: TaskLine) -> str:
    return "" if row.external_id.startswith("internal-") else row.external_id
