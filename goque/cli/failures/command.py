"""`goque failures`: failed attempts, grouped by what failed."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

import click

from goque.cli.command import command, option
from goque.cli.completion import type_option
from goque.cli.database import database_option, opened_storage, type_hint
from goque.cli.output import print_json, print_table, shortened, table_lines, time_text
from goque.cli.parameters.values import Since, WholeNumber
from goque.describe.failure_words import describe_failure, describe_versions
from goque.describe.task_state import lasting
from goque.storage.contract import MAX_GROUPS, FailureSummary
from goque.telemetry.logs import one_line

HEADER = (
    "group",
    "count",
    "first",
    "last",
    "example",
    "first_version",
    "last_version",
    "type",
    "what failed",
)
SHORT_HEADER = ("group", "count", "first", "last", "versions", "type")
INDENT = "    "


@command("failures")
@type_option("Only failures of tasks of this type.")
@option(
    "--since",
    type=Since(),
    help="Only groups with a failure since a time, or in the last 90s, 5m, 2h or 7d.",
)
@option(
    "--limit",
    type=WholeNumber(1, MAX_GROUPS),
    metavar="N",
    default=50,
    show_default=True,
    help="Print at most N groups.",
)
@option("--json", "as_json", is_flag=True, help="Print a JSON object a line, one for each group.")
@database_option
def failures(
    database_url: str | None, task_type: str | None, since: datetime | None, limit: int, *, as_json: bool
) -> None:
    """List failed attempts in groups, the last seen first.

    Failures of one group have the same type, the same cause (an exception, a timeout, a crash by a signal), the same
    class of exception and the same last line of your own code. The first column names the group. Then come how many
    attempts have failed so, the first and the last time, an example (a task, for `goque show`), and the first and the
    last version of the app that failed so. `Registry(version=...)` or GOQUE_APP_VERSION gives the app a version.


    `goque reset --failure GROUP` lets the open tasks of a group run again, and `goque cancel --failure GROUP` cancels
    them. Open tasks are waiting for a retry or have no attempt left, and their last failure is of the group.

    \b
    Examples:
      goque failures
      goque failures --since 2h --type send_email
      goque failures --json | jq 'select(.last_version == "1.5.0")'
      goque reset --failure 3f9a2c81d0 --per-second 10
    """
    with opened_storage(database_url) as storage:
        found = storage.failure_groups(task_type=task_type, limit=limit)
        found = [group for group in found if since is None or group.last_at >= since]
        hint = type_hint(storage, task_type) if task_type and not found else ""
    if as_json:
        for group in found:
            print_json(_as_json(group))
    elif not found:
        click.echo(f"goque: {one_line(hint)}" if hint else "no failed attempts are on record", err=True)
    elif sys.stdout.isatty():
        for line in _lines_for_people(found, datetime.now(UTC), shutil.get_terminal_size().columns):
            click.echo(line)
    else:
        print_table(HEADER, [_cells(group) for group in found])
    if len(found) == limit:
        click.echo(f"there may be more: these are the {limit:,} groups that were last seen", err=True)


def _as_json(group: FailureSummary) -> dict[str, str | int | None]:
    return {
        "group": group.group,
        "count": group.count,
        "first": time_text(group.first_at),
        "last": time_text(group.last_at),
        "example": group.example,
        "first_version": group.first_version,
        "last_version": group.last_version,
        "type": group.type,
        "cause": group.cause,
        "error_class": group.error_class or None,
        "line": group.line or None,
        "error": group.error,
    }


def _cells(group: FailureSummary) -> Sequence[str]:
    return (
        group.group,
        str(group.count),
        time_text(group.first_at),
        time_text(group.last_at),
        group.example,
        group.first_version or "-",
        group.last_version or "-",
        group.type,
        describe_failure(group),
    )


def _lines_for_people(found: Sequence[FailureSummary], now: datetime, width: int) -> Iterator[str]:
    """Yield a line of numbers for each group, and two with what failed and an example."""
    cells = [
        (
            group.group,
            f"{group.count:,}",
            _ago(group.first_at, now),
            _ago(group.last_at, now),
            describe_versions(group) or "-",
            group.type,
        )
        for group in found
    ]
    header, *lines = table_lines(SHORT_HEADER, cells, width=width, elastic=SHORT_HEADER.index("type"))
    yield header
    for group, line in zip(found, lines, strict=True):
        yield line
        yield shortened(f"{INDENT}{one_line(describe_failure(group))}", width)
        yield shortened(f"{INDENT}{one_line(group.error)}, as in task {group.example}", width)


def _ago(instant: datetime, now: datetime) -> str:
    seconds = (now - instant).total_seconds()
    return f"{lasting(seconds)} ago" if seconds >= 1 else "now"
