"""`goque stats`: how many tasks of each type are in each status."""

from __future__ import annotations

import click

from goque.cli.command import command, database_option, opened_storage, option
from goque.cli.output import print_json, print_table
from goque.storage.contract import MAX_GROUPS, TypeCount
from goque.task import TaskStatus


@command("stats")
@option("--json", "as_json", is_flag=True, help="Print a JSON object a line: type, status, count.")
@database_option
def stats(database_url: str | None, *, as_json: bool) -> None:
    """Count tasks by type and status.

    It counts all tasks in the table, including ended ones. A column shows which types are paused. Of very many types it
    shows those that a supervisor has run, and then the largest. `goque top` shows live what waits and what runs.

    \b
    Examples:
      goque stats
      goque stats --json
    """
    with opened_storage(database_url) as storage:
        counts = storage.count_tasks()
        paused = {policy.type for policy in storage.type_policies().values() if policy.paused}
    if as_json:
        for count in counts:
            print_json(count)
    elif counts or paused:
        _print_counts(counts, paused)
    else:
        click.echo(f"no tasks in {storage.url}", err=True)
    if len(counts) >= MAX_GROUPS:
        click.echo(
            f"there are more: these are the {MAX_GROUPS:,} largest counts of a type and a status, "
            "published types first",
            err=True,
        )


def _print_counts(counts: list[TypeCount], paused: set[str]) -> None:
    by_place = {(count.type, count.status): count.count for count in counts}
    types = sorted({count.type for count in counts} | paused)
    statuses = [status for status in TaskStatus if any(count.status == status for count in counts)]
    rows = [[name, *(str(by_place.get((name, status), 0)) for status in statuses)] for name in types]
    header = ["type", *statuses]
    if paused:
        header.append("claims")
        rows = [[*row, "paused" if row[0] in paused else ""] for row in rows]
    print_table(header, rows)
