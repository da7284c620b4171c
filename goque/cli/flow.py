"""`goque flow`: one flow, how far it is, and its tasks."""

from __future__ import annotations

import shutil
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, Final

import click

from goque.cli.command import command, option
from goque.cli.database import database_option, opened_storage
from goque.cli.output import json_value, print_json, print_table, shortened, table_lines, time_text
from goque.describe.status_words import WORDS, word_of
from goque.errors import GoqueError, TaskNotFoundError
from goque.queue.flow_state import status_of
from goque.storage import TaskStorage
from goque.storage.contract import FlowOverview, FlowTask
from goque.storage.search_types import TaskLine
from goque.task_row import TaskStatus
from goque.task_rules.error_lines import last_error
from goque.telemetry.logs import one_line

MAX_LISTED: Final = 100
"""The largest flow whose tasks are printed one by one."""

MAX_FAILED: Final = 20
"""How many failed tasks of a larger flow are printed."""

HEADER: Final = ("id", "type", "status", "needs", "last_error")


@command("flow")
@click.argument("flow_id", metavar="ID")
@option("--json", "as_json", is_flag=True, help="Print one JSON object with all tasks and what they need.")
@database_option
def flow(flow_id: str, database_url: str | None, *, as_json: bool) -> None:
    """Show a flow and its tasks. `goque show` names the flow of a task.

    A flow is `open` until all its tasks have ended. Then it is `done`, or `failed` if a task failed or was canceled.
    If a flow has more than 100 tasks, this counts them by type and status, and lists those that failed. --json has
    every task.

    \b
    Examples:
      goque flow 01a20b6d-f9ad-7bbd-861b-dbe0c9408260
      goque flow 01a20b6d-f9ad-7bbd-861b-dbe0c9408260 --json | jq .counts
    """
    with opened_storage(database_url) as storage:
        seen = _find(storage, flow_id.lower())
        if as_json:
            print_json(_json_of(seen, storage.flow_tasks(seen.id) or []))
            return
        _print_facts(seen)
        if seen.total <= MAX_LISTED:
            lines = storage.flow_lines(seen.id, limit=MAX_LISTED).lines
            _print_tasks(lines, storage.flow_tasks(seen.id) or [])
            return
        _print_counts(seen)
        ended = (TaskStatus.ATTEMPTS_LEFT,)
        failed = storage.flow_lines(seen.id, statuses=ended, limit=MAX_FAILED)
    if failed.lines:
        click.echo(
            "\nThe first tasks that failed:" if failed.after is not None else "\nThe tasks that failed:"
        )
        for line in failed.lines:
            click.echo(
                _fitted(
                    f"  {one_line(line.id)}  {one_line(line.type)}  {one_line(last_error(line.last_errors))}"
                )
            )


def _find(storage: TaskStorage, flow_id: str) -> FlowOverview:
    try:
        return storage.flow_overview(flow_id)
    except TaskNotFoundError as error:
        around = storage.links_of(flow_id, most=0).flow_id
        if around is None:
            raise
        raise GoqueError(f"{error}; this is the id of a task, and its flow is {around}") from error


def _json_of(seen: FlowOverview, tasks: Sequence[FlowTask]) -> dict[str, Any]:
    return {
        "id": seen.id,
        "name": seen.name,
        "status": status_of(seen.by_progress),
        "created_at": json_value(seen.created_at),
        "counts": seen.by_status,
        "tasks": [
            {"id": task.id, "type": task.type, "status": task.status, "needs": task.needs} for task in tasks
        ],
    }


def _print_facts(seen: FlowOverview) -> None:
    by_word = Counter[str]()
    for status, count in seen.by_status.items():
        by_word[word_of(status)] += count
    words = [word for word in dict.fromkeys((*WORDS.values(), *by_word)) if by_word[word]]
    counts = ", ".join(f"{by_word[word]:,} {one_line(word)}" for word in words)
    for name, value in {
        "id": seen.id,
        "name": seen.name,
        "status": status_of(seen.by_progress),
        "created_at": time_text(seen.created_at),
        "tasks": f"{seen.total:,}" + (f": {counts}" if counts else ""),
    }.items():
        click.echo(f"{name + ':':<11} {one_line(value)}")


def _print_tasks(lines: Sequence[TaskLine], tasks: Sequence[FlowTask]) -> None:
    needs = {task.id: len(task.needs) for task in tasks}
    click.echo()
    for line in _lines_of(lines, needs):
        click.echo(_fitted(line))


def _lines_of(lines: Sequence[TaskLine], needs: dict[str, int]) -> Iterator[str]:
    """Yield aligned columns. No cell is empty, so that programs can count them."""
    yield from table_lines(
        HEADER,
        [
            [
                line.id,
                line.type,
                word_of(line.status),
                str(needs.get(line.id, 0)),
                last_error(line.last_errors) or "-",
            ]
            for line in lines
        ],
    )


def _print_counts(seen: FlowOverview) -> None:
    by_place = Counter[tuple[str, str]]()
    for one in seen.counts:
        by_place[one.type, word_of(one.status)] += one.count
    used = {word for _type, word in by_place}
    words = [word for word in dict.fromkeys((*WORDS.values(), *sorted(used))) if word in used]
    rows = [
        [name, *(str(by_place[name, word]) for word in words)]
        for name in sorted({key[0] for key in by_place})
    ]
    click.echo()
    print_table(["type", *words], rows)


def _fitted(line: str) -> str:
    """Cut a line to the terminal; a pipe gets all of it."""
    return shortened(line, shutil.get_terminal_size().columns) if sys.stdout.isatty() else line
