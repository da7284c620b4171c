"""`goque show`: one task with its failed attempts, its owner and its next step."""

from __future__ import annotations

import signal
from datetime import UTC, datetime
from typing import Any

import click
import msgspec

from goque.cli.command import command, database_option, opened_storage, option
from goque.cli.output import COLUMNS, columns_of, json_value, print_json, time_text
from goque.describe.task_state import describe_claims, describe_next
from goque.errors import TaskNotFoundError
from goque.storage.contract import AttemptRow
from goque.task import TaskRow
from goque.telemetry.logs import one_line


@command("show")
@click.argument("task_id", metavar="ID")
@option("--json", "as_json", is_flag=True, help="Print one JSON object, its keys the table's columns.")
@database_option
def show(task_id: str, database_url: str | None, *, as_json: bool) -> None:
    """Show a task and its history.

    It prints every column, each failed attempt with its traceback or crash report, the node that claimed the task,
    and what happens next.

    \b
    Examples:
      goque show 01a20b6d-f9ad-7bbd-861b-dbe0c9408260
      goque show 01a20b6d-f9ad-7bbd-861b-dbe0c9408260 --json | jq .errors
    """
    with opened_storage(database_url) as storage:
        row = storage.get_task(task_id.lower())
        if row is None:
            raise TaskNotFoundError(task_id)
        attempts = storage.failed_attempts(row.id)
        policy = storage.type_policies().get(row.type)
        node = next((node for node in storage.nodes() if node.id == row.claimed_by), None)
    claims, follows = describe_claims(row, node), describe_next(row, policy, node, datetime.now(UTC))
    if as_json:
        failed = [_attempt_json(attempt) for attempt in attempts]
        print_json(
            {**columns_of(row), "failed_attempts": failed, "story": {"claims": claims, "next": follows}}
        )
        return
    _print_columns(row)
    for attempt in attempts:
        click.echo()
        _print_attempt(attempt)
    click.echo()
    click.echo(f"claims: {one_line(claims)}")
    click.echo(f"next:   {one_line(follows)}")


def _print_columns(row: TaskRow) -> None:
    width = max(map(len, COLUMNS)) + 1
    for name in COLUMNS:
        value = json_value(getattr(row, name))
        text = (
            value
            if isinstance(value, str)
            else msgspec.json.encode(value).decode()
            if value is not None
            else "-"
        )
        first, *more = text.rstrip("\n").split("\n") if name == "errors" else [text]
        click.echo(f"{name + ':':<{width}} {one_line(first)}".rstrip())
        for line in more:
            click.echo(f"{'':<{width}} {one_line(line)}")


def _print_attempt(attempt: AttemptRow) -> None:
    failed = attempt.failed
    lasted = "" if failed.duration is None else f" after {failed.duration:.3g}s"
    click.echo(f"attempt {failed.attempt}: {one_line(failed.cause)}{lasted}, {time_text(attempt.ended_at)}")
    facts: dict[str, Any] = {
        "node": attempt.node,
        "worker pid": failed.worker_pid,
        "exit code": failed.exit_code,
        "signal": None if failed.signal is None else signal_text(failed.signal),
        "peak memory": None if failed.max_rss is None else f"{failed.max_rss / 2**20:.1f} MiB",
        "out of memory": failed.oom,
    }
    for name, value in facts.items():
        if value is not None:
            click.echo(f"  {name + ':':<14} {one_line(str(value))}")
    _print_block("error", failed.error)
    _print_block("traceback", failed.traceback)
    _print_block("Python stack when it died", failed.stack)
    _print_block("last lines of stderr", failed.stderr)


def signal_text(number: int) -> str:
    """Return `11 (SIGSEGV)`."""
    try:
        return f"{number} ({signal.Signals(number).name})"
    except ValueError:
        return str(number)


def _print_block(title: str, text: str | None) -> None:
    lines = (text or "").rstrip().splitlines()
    if not lines:
        return
    click.echo(f"  {title}:")
    for line in lines:
        click.echo(f"    {one_line(line.expandtabs())}".rstrip())


def _attempt_json(attempt: AttemptRow) -> dict[str, Any]:
    failed = msgspec.to_builtins(attempt.failed)
    return {
        "node": attempt.node,
        "started_at": json_value(attempt.started_at),
        "ended_at": json_value(attempt.ended_at),
        **failed,
    }
